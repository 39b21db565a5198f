// rewind-mark: a point of a machine's recent past gets a name and is never thinned out, or loses it.

import * as v from 'valibot';
import { LABEL, MACHINE_NAME, NOTHING, SNAPSHOT } from '../fields.ts';
import { provided } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const rewindMark = defineVerb({
  id: 40,
  name: 'rewind-mark',
  permission: 'save',
  effect: 'store',
  request: v.strictObject({ machine: MACHINE_NAME, snapshot: SNAPSHOT, label: v.nullable(LABEL) }),
  response: NOTHING,
  async run(call, { machine, snapshot, label }) {
    call.require(machine);
    const { id } = await call.snapshot(snapshot);
    const recording = await provided(call.host.recordings, 'rewind').of(machine);
    await recording.mark(id, label);
    return {};
  },
});

// rewind-stop: no more points are taken of a machine. Those that there are stay, or go but for bookmarks, which needs `delete` too.

import * as v from 'valibot';
import { MACHINE_NAME, NOTHING } from '../fields.ts';
import { provided } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const rewindStop = defineVerb({
  id: 38,
  name: 'rewind-stop',
  permission: 'save',
  effect: 'store',
  request: v.strictObject({ machine: MACHINE_NAME, forget: v.boolean() }),
  response: NOTHING,
  async run(call, { machine, forget }) {
    call.require(machine);
    if (forget) call.require(machine, 'delete');
    const recording = await provided(call.host.recordings, 'rewind').of(machine);
    await recording.stop({ forget });
    return {};
  },
});

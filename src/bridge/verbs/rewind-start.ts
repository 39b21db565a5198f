// rewind-start: has the host keep a machine's recent past by itself: a point every so often, within a budget of bytes.

import * as v from 'valibot';
import { COUNT, MACHINE_NAME, NOTHING } from '../fields.ts';
import { provided } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const rewindStart = defineVerb({
  id: 37,
  name: 'rewind-start',
  permission: 'save',
  effect: 'store',
  request: v.strictObject({ machine: MACHINE_NAME, everyMs: COUNT, budgetBytes: COUNT }),
  response: NOTHING,
  async run(call, { machine, ...options }) {
    call.machine(machine);
    await provided(call.host.recordings, 'rewind').start(machine, options);
    return {};
  },
});

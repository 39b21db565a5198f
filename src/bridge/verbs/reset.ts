// reset: brings a machine back to its checkpoint, as fast as what it wrote since can be written.

import * as v from 'valibot';
import { COUNT, MACHINE_NAME } from '../fields.ts';
import { running } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const reset = defineVerb({
  id: 7,
  name: 'reset',
  permission: 'restore',
  effect: 'machine',
  request: v.strictObject({ machine: MACHINE_NAME }),
  response: v.object({ pagesWritten: COUNT, pagesCompared: COUNT }),
  run: async (call, { machine }) => running(call.machine(machine)).reset(),
});

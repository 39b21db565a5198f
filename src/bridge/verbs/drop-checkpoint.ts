// drop-checkpoint: forgets the point that `reset` goes back to, and gives its memory back.

import * as v from 'valibot';
import { MACHINE_NAME, NOTHING } from '../fields.ts';
import { running } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const dropCheckpoint = defineVerb({
  id: 26,
  name: 'drop-checkpoint',
  permission: 'restore',
  effect: 'machine',
  request: v.strictObject({ machine: MACHINE_NAME }),
  response: NOTHING,
  async run(call, { machine }) {
    await running(call.machine(machine)).dropCheckpoint();
    return {};
  },
});

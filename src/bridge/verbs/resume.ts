// resume: lets a paused machine run on.

import * as v from 'valibot';
import { MACHINE_NAME, NOTHING } from '../fields.ts';
import { goOn } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const resume = defineVerb({
  id: 24,
  name: 'resume',
  permission: 'admin',
  effect: 'machine',
  request: v.strictObject({ machine: MACHINE_NAME }),
  response: NOTHING,
  async run(call, { machine }) {
    await goOn(call.machine(machine));
    return {};
  },
});

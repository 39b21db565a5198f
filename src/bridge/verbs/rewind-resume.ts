// rewind-resume: a machine that `rewind-seek` holds goes on from where it is. What it did after that is a branch from then on, and there.
//
// It is `resume` for who may restore: `rewind-seek` holds the machine, and whoever may bring it to a point could do no more than look there
// if going on needed `admin`. It asks not who held it: a restore brings it elsewhere, too, however it came to rest.

import * as v from 'valibot';
import { MACHINE_NAME, NOTHING } from '../fields.ts';
import { goOn } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const rewindResume = defineVerb({
  id: 42,
  name: 'rewind-resume',
  permission: 'restore',
  effect: 'machine',
  request: v.strictObject({ machine: MACHINE_NAME }),
  response: NOTHING,
  async run(call, { machine }) {
    await goOn(call.machine(machine));
    return {};
  },
});

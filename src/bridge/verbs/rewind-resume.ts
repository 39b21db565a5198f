// rewind-resume: a machine that `rewind-seek` holds goes on from where it is. What it did after that is a branch from then on, and there.

import * as v from 'valibot';
import { MACHINE_NAME, NOTHING } from '../fields.ts';
import { provided } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const rewindResume = defineVerb({
  id: 42,
  name: 'rewind-resume',
  permission: 'restore',
  effect: 'machine',
  request: v.strictObject({ machine: MACHINE_NAME }),
  response: NOTHING,
  async run(call, { machine: name }) {
    const machine = call.machine(name);
    await provided(machine.resume?.bind(machine), 'resume')();
    return {};
  },
});

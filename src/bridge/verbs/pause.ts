// pause: holds a machine until `resume`; saves and peeks of it go on working.

import * as v from 'valibot';
import { MACHINE_NAME, NOTHING } from '../fields.ts';
import { provided, running } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const pause = defineVerb({
  id: 23,
  name: 'pause',
  permission: 'admin',
  effect: 'machine',
  request: v.strictObject({ machine: MACHINE_NAME }),
  response: NOTHING,
  async run(call, { machine: name }) {
    const machine = call.machine(name);
    running(machine);
    await provided(machine.pause?.bind(machine), 'pause')();
    return {};
  },
});

// quicken: makes resets of a machine quick, for whoever is about to reset it often. It may go on in another process.

import * as v from 'valibot';
import { MACHINE_NAME, MS } from '../fields.ts';
import { provided, running } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const quicken = defineVerb({
  id: 43,
  name: 'quicken',
  permission: 'restore',
  effect: 'machine',
  request: v.strictObject({ machine: MACHINE_NAME }),
  response: v.object({ moved: v.boolean(), because: v.string(), pauseMs: MS }),
  async run(call, { machine: name }) {
    const machine = call.machine(name);
    running(machine);
    return provided(machine.quicken?.bind(machine), 'quicken')();
  },
});

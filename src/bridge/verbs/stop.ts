// stop: ends a machine; its snapshots stay.

import * as v from 'valibot';
import { MACHINE_NAME, NOTHING } from '../fields.ts';
import { provided, running } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const stop = defineVerb({
  id: 22,
  name: 'stop',
  permission: 'admin',
  effect: 'machine',
  request: v.strictObject({ machine: MACHINE_NAME }),
  response: NOTHING,
  async run(call, { machine: name }) {
    const machine = call.machine(name);
    // One that is lost may have a process that nobody got hold of, and one whose memory is on its way has no `machine` yet.
    if (machine.state === 'stopped') running(machine);
    await provided(machine.stop?.bind(machine), 'stop')();
    return {};
  },
});

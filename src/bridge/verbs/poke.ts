// poke: writes into a machine's memory, as its own program could have done.

import * as v from 'valibot';
import { BRIDGE_LIMITS } from '../bridge-limits.ts';
import { COUNT, MACHINE_NAME, NOTHING, REGION_NAME } from '../fields.ts';
import { provided, running } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const poke = defineVerb({
  id: 10,
  name: 'poke',
  permission: 'admin',
  effect: 'machine',
  request: v.strictObject({
    machine: MACHINE_NAME,
    at: v.union([
      v.strictObject({ address: COUNT }),
      v.strictObject({ region: REGION_NAME, offsetBytes: COUNT }),
    ]),
    bytes: v.pipe(v.instance(Uint8Array), v.minLength(1), v.maxLength(BRIDGE_LIMITS.maxPokeBytes)),
  }),
  response: NOTHING,
  async run(call, { machine: name, at, bytes }) {
    const machine = call.machine(name);
    call.note({ at, lengthBytes: bytes.length });
    running(machine);
    const way = provided(machine.poke?.bind(machine), 'poke');
    await way({ ...at, lengthBytes: bytes.length }, bytes.slice());
    return {};
  },
});

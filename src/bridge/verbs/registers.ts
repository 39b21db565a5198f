// registers: what the processors of a machine hold, of one instant at which it rests.

import * as v from 'valibot';
import { COUNT, MACHINE_NAME } from '../fields.ts';
import { provided, running } from '../running.ts';
import { defineVerb } from '../verb.ts';

/** More than any processor here has; a body of control holds them for hundreds of processors. */
const MAX_REGISTERS = 64;

export const registers = defineVerb({
  id: 35,
  name: 'registers',
  permission: 'peek',
  effect: 'none',
  streams: { down: 'items', up: 'none' },
  request: v.strictObject({ machine: MACHINE_NAME }),
  response: v.object({}),
  item: v.object({
    processor: COUNT,
    /** By name, in the order that people know; hexadecimal, since they are wider than numbers here. */
    registers: v.pipe(
      v.array(v.object({ name: v.string(), value: v.pipe(v.string(), v.regex(/^0x[0-9a-f]+$/)) })),
      v.maxLength(MAX_REGISTERS),
    ),
  }),
  async run(call, { machine: name }) {
    const machine = call.machine(name);
    running(machine);
    const processors = await provided(machine.registers?.bind(machine), 'registers')();
    await call.sendItems(
      processors.map(({ processor, registers }) => ({
        processor,
        registers: registers.map((one) => ({ name: one.name, value: `0x${one.value.toString(16)}` })),
      })),
    );
    return {};
  },
});

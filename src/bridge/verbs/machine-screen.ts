// screen: a machine's picture, as its VNC server sends it, and back what `RfbFilter` lets through. It ends when the client ends
// its stream or cancels, and when the machine ends. Pictures are sent as they are asked for, so that a slow reader gets fewer.

import * as v from 'valibot';
import { MACHINE_NAME, NOTHING } from '../fields.ts';
import type { ScreenLine } from '../host.ts';
import { RfbFilter } from '../rfb-filter.ts';
import { provided } from '../running.ts';
import { type Call, defineVerb } from '../verb.ts';

export const machineScreen = defineVerb({
  id: 34,
  name: 'machine-screen',
  permission: 'peek',
  effect: 'machine',
  streams: { down: 'bytes', up: 'bytes' },
  request: v.strictObject({
    machine: MACHINE_NAME,
    /** Keys and the pointer need `admin`. */
    input: v.boolean(),
  }),
  response: NOTHING,
  async run(call, { machine: name, input }) {
    const machine = call.machine(name);
    if (input) call.require(name, 'admin');
    call.note({ input });
    const line = await provided(machine.screen, 'screen').open();
    const typing = type(call, line, new RfbFilter({ input }));
    // Whichever goes on when the other has ended fails at the line that is closed, and nobody waits for it.
    typing.catch(() => {});
    try {
      await Promise.race([show(call, line), typing]);
      return {};
    } finally {
      line.close();
    }
  },
});

async function show(call: Call, line: ScreenLine): Promise<void> {
  try {
    for await (const bytes of line.output) await call.sendBytes(bytes);
  } catch (error) {
    // The call ends by what its input throws.
    if (!call.signal.aborted) throw error;
  }
}

async function type(call: Call, line: ScreenLine, filter: RfbFilter): Promise<void> {
  for await (const bytes of call.input) {
    const passed = filter.push(bytes);
    if (passed.length > 0) await line.write(passed);
  }
}

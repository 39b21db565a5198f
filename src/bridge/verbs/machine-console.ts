// console: a machine's serial console. What it says comes down, what the client types goes up; it ends when the client ends
// its stream or cancels. A reader that is too slow loses the oldest bytes and is told how many.

import * as v from 'valibot';
import { concatBytes, type OwnedBytes } from '../../base/bytes.ts';
import { BRIDGE_LIMITS } from '../bridge-limits.ts';
import { COUNT, MACHINE_NAME } from '../fields.ts';
import { provided } from '../running.ts';
import { type Call, defineVerb } from '../verb.ts';

export const machineConsole = defineVerb({
  id: 25,
  name: 'machine-console',
  permission: 'peek',
  effect: 'machine',
  streams: { down: 'bytes', up: 'bytes' },
  request: v.strictObject({
    machine: MACHINE_NAME,
    /** Typing needs `admin`. */
    input: v.boolean(),
  }),
  response: v.object({ droppedBytes: COUNT }),
  async run(call, { machine: name, input }) {
    const machine = call.machine(name);
    if (input) call.require(name, 'admin');
    const port = provided(machine.console, 'console');
    const backlog = new Backlog(BRIDGE_LIMITS.consoleBacklogBytes);
    const stop = port.listen((bytes) => backlog.put(bytes));
    const sending = sendAll(call, backlog);
    try {
      for await (const bytes of call.input) if (input) await port.write(bytes);
    } finally {
      stop();
      backlog.close();
    }
    await sending;
    return { droppedBytes: backlog.droppedBytes };
  },
});

async function sendAll(call: Call, backlog: Backlog): Promise<void> {
  try {
    for (;;) {
      const bytes = await backlog.take();
      if (bytes === undefined) return;
      await call.sendBytes(bytes);
    }
  } catch (error) {
    // The call ends by what its input throws; a listener must not be left with a reason nobody takes.
    if (!call.signal.aborted) throw error;
  }
}

/** Bytes that wait to be sent, no more than so many. */
class Backlog {
  readonly #capacityBytes: number;
  readonly #parts: OwnedBytes[] = [];
  #lengthBytes = 0;
  #closed = false;
  #wake: (() => void) | null = null;
  droppedBytes = 0;

  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  put(bytes: OwnedBytes): void {
    this.#parts.push(bytes);
    this.#lengthBytes += bytes.length;
    while (this.#lengthBytes > this.#capacityBytes) {
      // Safe: bytes are counted only with their part.
      const oldest = this.#parts.shift()!;
      const dropped = Math.min(oldest.length, this.#lengthBytes - this.#capacityBytes);
      if (dropped < oldest.length) this.#parts.unshift(oldest.slice(dropped));
      this.#lengthBytes -= dropped;
      this.droppedBytes += dropped;
    }
    this.#wake?.();
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  /** All that waits; undefined when it was closed and nothing does. */
  async take(): Promise<OwnedBytes | undefined> {
    while (this.#lengthBytes === 0) {
      if (this.#closed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#lengthBytes = 0;
    return concatBytes(this.#parts.splice(0));
  }
}

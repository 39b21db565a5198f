// bells: what guests asked for by their doorbells, the last rings first and then, if wanted, each new one until the client cancels. Of
// one machine, or of all that the session may observe. For a reader that is too slow, rings of one kind become one event.

import * as v from 'valibot';
import { type BellEvent, bellKind, joinBells } from '../bell-book.ts';
import { BRIDGE_LIMITS } from '../bridge-limits.ts';
import { BELL_EVENT, MACHINE_NAME, NOTHING } from '../fields.ts';
import { provided } from '../running.ts';
import { type Call, defineVerb } from '../verb.ts';

export const bells = defineVerb({
  id: 36,
  name: 'bells',
  permission: 'observe',
  effect: 'none',
  streams: { down: 'items', up: 'none' },
  request: v.strictObject({
    /** All machines when left out. */
    machine: v.optional(MACHINE_NAME),
    /** Whether to go on with what comes. */
    follow: v.boolean(),
  }),
  response: NOTHING,
  item: BELL_EVENT,
  async run(call, { machine, follow }) {
    if (machine !== undefined) call.machine(machine);
    const book = provided(call.host.bells, 'bells');
    const waiting = new Waiting();
    for (const event of machine === undefined ? book.all() : book.recent(machine)) waiting.put(event);
    const stop = follow ? book.listen((event) => waiting.put(event)) : () => {};
    const wake = (): void => waiting.wake();
    call.signal.addEventListener('abort', wake);
    try {
      do {
        await sendAll(call, waiting, machine);
        if (follow) await waiting.some(call.signal);
      } while (follow);
      return {};
    } finally {
      stop();
      call.signal.removeEventListener('abort', wake);
    }
  },
});

/** One at a time, as the client grants credit: what comes meanwhile waits in its kind. */
async function sendAll(call: Call, waiting: Waiting, machine: string | undefined): Promise<void> {
  for (let event = waiting.take(); event !== undefined; event = waiting.take()) {
    // A permission may be taken back at any time.
    const isWanted = machine === undefined || event.machine === machine;
    if (isWanted && call.allows(event.machine)) await call.sendItems([event]);
  }
}

/** Events for one reader, in the order they first came; past a number the oldest go. */
class Waiting {
  readonly #events = new Map<string, BellEvent>();
  #wake: () => void = () => {};

  put(event: BellEvent): void {
    const kind = bellKind(event);
    const before = this.#events.get(kind);
    this.#events.set(kind, before === undefined ? event : joinBells(before, event));
    const [oldest] = this.#events.keys();
    if (this.#events.size > BRIDGE_LIMITS.maxWaitingBells && oldest !== undefined)
      this.#events.delete(oldest);
    this.#wake();
  }

  take(): BellEvent | undefined {
    const [first] = this.#events;
    if (first === undefined) return undefined;
    this.#events.delete(first[0]);
    return first[1];
  }

  wake(): void {
    this.#wake();
  }

  /** Resolves when there are some. Throws why the call ended. */
  async some(signal: AbortSignal): Promise<void> {
    while (this.#events.size === 0) {
      if (signal.aborted) throw signal.reason;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

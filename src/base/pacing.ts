// Long loops give the thread back now and then, since a guest or a page may share it.

import { type Clock, SYSTEM_CLOCK } from './clock.ts';

/** Time in one go: half a frame at 60 Hz. */
const SLICE_MS = 8;

/** Counts the time since the thread was last given back. */
export class Pacing {
  readonly #clock: Clock;
  readonly #sliceMs: number;
  #sinceMs: number;
  #workedMs = 0;

  constructor(clock: Clock = SYSTEM_CLOCK, sliceMs = SLICE_MS) {
    this.#clock = clock;
    this.#sliceMs = sliceMs;
    this.#sinceMs = clock.nowMs();
  }

  /** Time spent so far without that of other tasks. */
  get workedMs(): number {
    return this.#workedMs + this.#clock.nowMs() - this.#sinceMs;
  }

  /** Resolves at once, or after other tasks had their turn when the slice is used up. */
  async breathe(): Promise<void> {
    const sliceMs = this.#clock.nowMs() - this.#sinceMs;
    if (sliceMs < this.#sliceMs) return;
    this.#workedMs += sliceMs;
    await nextTask();
    this.#sinceMs = this.#clock.nowMs();
  }
}

/** Resolves after other tasks had their turn. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    // A message is a task of its own at once; timers are held to 4 ms when nested.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** Resolves when `work` has settled, or after `mostMs`; other tasks have their turns meanwhile. */
export async function settledOrLate(work: Promise<unknown>, clock: Clock, mostMs: number): Promise<void> {
  const startMs = clock.nowMs();
  let isSettled = false;
  const settle = (): void => {
    isSettled = true;
  };
  work.then(settle, settle);
  do await nextTask();
  while (!isSettled && clock.nowMs() - startMs < mostMs);
}

// Work in the guest's own thread, cut into slices so short that the guest hardly notices: a slice, then the thread is given
// back, and so on. What the slices take is what the guest waits for, and is counted.

import type { Clock } from '../base/clock.ts';
import { nextTask } from '../base/pacing.ts';
import { throwIfAborted } from '../base/work.ts';
import type { Guest } from '../guest/guest.ts';

export interface SliceOptions {
  readonly clock: Clock;
  /** How long one slice may take. A step under way is not cut, so steps are to be shorter still. */
  readonly sliceMs: number;
  readonly signal?: AbortSignal | undefined;
}

export class Slices {
  readonly #options: SliceOptions;
  #sinceMs: number;
  #longestMs = 0;
  #totalMs = 0;

  constructor(options: SliceOptions) {
    this.#options = options;
    this.#sinceMs = options.clock.nowMs();
  }

  /** Gives the work up. */
  get signal(): AbortSignal | undefined {
    return this.#options.signal;
  }

  /** What the guest waited at most at a time, and in all. */
  get waited(): { readonly longestMs: number; readonly totalMs: number } {
    return { longestMs: this.#longestMs, totalMs: this.#totalMs };
  }

  /** Starts to count anew: what came before was no slice. */
  begin(): void {
    this.#sinceMs = this.#options.clock.nowMs();
  }

  /** Whether the slice is used up. */
  get isOver(): boolean {
    return this.#options.clock.nowMs() - this.#sinceMs >= this.#options.sliceMs;
  }

  /** Ends the slice; resolves in the next one. Throws `aborted`. */
  async next(): Promise<void> {
    this.end();
    await nextTask();
    throwIfAborted(this.#options.signal);
    this.begin();
  }

  /** Gives the thread back when the slice is used up. Throws `aborted`. */
  async breathe(): Promise<void> {
    if (this.isOver) await this.next();
  }

  /**
   * Does the steps with the guest at rest, as many in a slice as fit; `onRest` first in each pause, which takes the guest's
   * marks. Throws `aborted`, and what a step throws.
   */
  async whilePaused(guest: Guest, steps: Iterable<() => Promise<void>>, onRest?: () => void): Promise<void> {
    let isPaused = false;
    try {
      for (const step of steps) {
        if (!isPaused) {
          await guest.pause(onRest === undefined ? {} : { marks: true });
          isPaused = true;
          this.begin();
          onRest?.();
        }
        await step();
        if (!this.isOver) continue;
        isPaused = false;
        await guest.resume();
        await this.next();
      }
    } finally {
      if (isPaused) {
        await guest.resume();
        this.end();
      }
    }
  }

  /** Ends the last slice. */
  end(): void {
    const tookMs = this.#options.clock.nowMs() - this.#sinceMs;
    this.#totalMs += tookMs;
    this.#longestMs = Math.max(this.#longestMs, tookMs);
  }
}

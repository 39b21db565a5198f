// The `replay` of a guest whose emulator can be told to run for so many of its own steps, and counts them: cycles, frames,
// instructions. What it does in them must follow from its state alone: no host's clock, no host's randomness.

import { nextTask } from '../base/pacing.ts';
import { throwIfAborted } from '../base/work.ts';
import type { Replay, ReplayPosition } from './replay.ts';

/** Between two turns of other tasks: some milliseconds of the slower emulators. */
const STEPS_A_TURN = 100_000;

export interface CountedReplayOptions {
  /** Throws `wrong-state` unless the guest rests. */
  readonly requireRest: () => void;
  /**
   * Runs the resting emulator for so many steps. Returns those it ran: a few more where it cannot stop in between, fewer where
   * it sleeps until something enters, which nothing does.
   */
  readonly advance: (steps: number) => number;
}

export class CountedReplay implements Replay {
  readonly #options: CountedReplayOptions;
  #steps = 0;

  constructor(options: CountedReplayOptions) {
    this.#options = options;
  }

  begin(): void {
    this.#options.requireRest();
    this.#steps = 0;
  }

  async run(steps: number, signal?: AbortSignal): Promise<ReplayPosition> {
    const target = this.#steps + steps;
    while (this.#steps < target) {
      this.#options.requireRest();
      throwIfAborted(signal);
      const turn = Math.min(target - this.#steps, STEPS_A_TURN);
      const ran = this.#options.advance(turn);
      // Asleep for good: the rest passes with nothing in it.
      this.#steps = ran < turn ? target : this.#steps + ran;
      if (this.#steps < target) await nextTask();
    }
    // Something could enter between any two steps.
    return { steps: this.#steps, slices: this.#steps };
  }
}

// Takes epochs by the clock, as often as it is told and no more than a share of the time: when epochs cost much, because the
// guest writes much or the machine is slow, some are left out, so that the guest keeps its pace.

import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import type { Rewind } from './rewind.ts';

/** The most that epochs take of the time; the guest has the rest. */
const MAX_SHARE = 0.1;

export interface EpochTimerOptions {
  /** Time from one epoch to the next. */
  readonly epochMs: number;
  readonly clock?: Clock;
  /** How to wait; the platform's timers when left out. */
  readonly wait?: (task: () => void, ms: number) => () => void;
  /** Hears of an epoch that failed for good; the timer has stopped then. */
  readonly onFailure?: (error: unknown) => void;
}

/** Runs until `stop`, or until an epoch fails. */
export class EpochTimer {
  readonly #rewind: Rewind;
  readonly #options: EpochTimerOptions;
  readonly #clock: Clock;
  #cancel: (() => void) | null = null;
  #isStopped = false;

  constructor(rewind: Rewind, options: EpochTimerOptions) {
    this.#rewind = rewind;
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#waitFor(options.epochMs);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  #waitFor(ms: number): void {
    const wait = this.#options.wait ?? waitByTimer;
    this.#cancel = wait(() => void this.#tick(), ms);
  }

  async #tick(): Promise<void> {
    const { epochMs, onFailure } = this.#options;
    const startMs = this.#clock.nowMs();
    try {
      const outcome = await this.#rewind.epoch();
      if (this.#isStopped) return;
      const tookMs = this.#clock.nowMs() - startMs;
      const workMs = outcome === 'skipped' ? 0 : this.#rewind.lastWorkMs;
      const dueMs = Math.max(epochMs, workMs / MAX_SHARE);
      this.#rewind.fallBehind(Math.floor(dueMs / epochMs) - 1);
      this.#waitFor(Math.max(0, dueMs - tookMs));
    } catch (error) {
      this.#isStopped = true;
      onFailure?.(error);
    }
  }
}

function waitByTimer(task: () => void, ms: number): () => void {
  const timer = setTimeout(task, ms);
  return () => clearTimeout(timer);
}

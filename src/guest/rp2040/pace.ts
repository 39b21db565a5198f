// Lets a chip run beside other work: in turns, no faster than real time. Its own clock decides what happens; the host's only
// when the next turn is.

import type { Clock } from '../../base/clock.ts';

/** A turn is at most so many cycles: about 10 ms of work where the emulator runs at a tenth of the chip's speed. */
const CYCLES_A_TURN = 150_000;
const NANOS_PER_CYCLE = 8;
/** The pause after a turn that has caught up. */
const TURN_MS = 10;
/** Time that a slow host is behind is forgotten past this: the chip then runs slow instead of racing later. */
const MAX_DEBT_MS = 100;

export interface PaceOptions {
  /** Runs that many cycles; returns those that were run. */
  readonly run: (cycles: number) => number;
  readonly clock: Clock;
}

export class Pace {
  readonly #options: PaceOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isRunning = false;
  #lastMs = 0;
  #debtMs = 0;

  constructor(options: PaceOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#lastMs = this.#options.clock.nowMs();
    this.#debtMs = 0;
    this.#wait(0);
  }

  stop(): void {
    this.#isRunning = false;
    clearTimeout(this.#timer);
  }

  #turn(): void {
    const nowMs = this.#options.clock.nowMs();
    this.#debtMs = Math.min(this.#debtMs + nowMs - this.#lastMs, MAX_DEBT_MS);
    this.#lastMs = nowMs;
    const due = Math.floor((this.#debtMs * 1e6) / NANOS_PER_CYCLE);
    const wanted = Math.min(due, CYCLES_A_TURN);
    const done = this.#options.run(wanted);
    // A chip that sleeps until there is input owes nothing.
    this.#debtMs = done < wanted ? 0 : Math.max(0, this.#debtMs - (done * NANOS_PER_CYCLE) / 1e6);
    // Whatever ran may have stopped us, and started us again.
    if (this.#isRunning) this.#wait(wanted < due ? 0 : TURN_MS);
  }

  #wait(waitMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#turn(), waitMs);
  }
}

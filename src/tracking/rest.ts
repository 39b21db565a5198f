// A rest of the guest that may last from one call to a later one, and how long it was.

import type { Clock } from '../base/clock.ts';
import type { Guest } from '../guest/guest.ts';

export class Rest {
  readonly #guest: Guest;
  readonly #clock: Clock;
  #isOn = false;
  #sinceMs = 0;
  #lastMs = 0;

  constructor(guest: Guest, clock: Clock) {
    this.#guest = guest;
    this.#clock = clock;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** How long it has lasted, or the last one did. */
  get ms(): number {
    return this.#isOn ? this.#clock.nowMs() - this.#sinceMs : this.#lastMs;
  }

  async begin(): Promise<void> {
    await this.#guest.pause({ marks: true, devices: true });
    this.#sinceMs = this.#clock.nowMs();
    this.#isOn = true;
  }

  /** Lets the guest go on, if it rests. */
  async end(): Promise<void> {
    if (!this.#isOn) return;
    this.#lastMs = this.ms;
    this.#isOn = false;
    await this.#guest.resume();
  }

  /** Runs `work` in a rest of its own, and tells how long that was. */
  async during(work: () => Promise<void>): Promise<number> {
    await this.#guest.pause();
    const startMs = this.#clock.nowMs();
    try {
      await work();
    } finally {
      await this.#guest.resume();
    }
    return this.#clock.nowMs() - startMs;
  }
}

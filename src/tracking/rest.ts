// Rests of the guest, and how long they were.

import type { Clock } from '../base/clock.ts';
import type { Guest, PauseNeeds } from '../guest/guest.ts';

/** What an instant is made of beside memory. */
export const INSTANT: PauseNeeds = { marks: true, devices: true };

/** Runs `work` while the guest rests; how long that was, in milliseconds. */
export async function whileAtRest(
  guest: Guest,
  clock: Clock,
  work: () => Promise<void>,
  needs: PauseNeeds = {},
): Promise<number> {
  await guest.pause(needs);
  const startMs = clock.nowMs();
  try {
    await work();
  } finally {
    await guest.resume();
  }
  return clock.nowMs() - startMs;
}

/** A rest that may last from one call to a later one. */
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

  async begin(needs: PauseNeeds): Promise<void> {
    await this.#guest.pause(needs);
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
}

// Randomness that can be had again: the same seed gives the same numbers everywhere. Suites print the seed of a
// failure; SEED=123 in the environment of the test brings it back.

/** Random numbers from one seed (mulberry32, by Tommy Ettinger). */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  /** An integer of 32 bits. */
  u32(): number {
    this.#state = (this.#state + 0x6d2b_79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** An integer from 0 to `limit - 1`. */
  below(limit: number): number {
    return Math.floor((this.u32() / 2 ** 32) * limit);
  }

  /** Whether something of that probability happens. */
  chance(probability: number): boolean {
    return this.u32() / 2 ** 32 < probability;
  }

  /** One of them. */
  pick<T>(of: readonly T[]): T {
    // Safe: callers give at least one, and the index is below the length.
    return of[this.below(of.length)]!;
  }

  bytes(lengthBytes: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(lengthBytes);
    for (let i = 0; i < lengthBytes; i++) bytes[i] = this.u32() >>> 24;
    return bytes;
  }
}

// Randomness that a machine meets the same each time: xorshift32, from one fixed beginning. It is the guest's `rdrand` and
// nothing else; it is no secret and must not be used for one.

const BEGINNING = 0x9e37_79b9;

export class Random32 {
  #state = BEGINNING;

  begin(): void {
    this.#state = BEGINNING;
  }

  /** The next signed 32-bit number; never 0. */
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x;
  }
}

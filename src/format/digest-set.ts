// A set of digests: what a pack has already. Open addressing over the digests' own bytes: nothing is allocated for one more,
// where a Set would want a text of each. A digest's first word is its hash.

import { compareDigests, DIGEST_BYTES } from './digest.ts';

const FIRST_CAPACITY = 256;
/** Slots stay at most half full. */
const MAX_LOAD = 0.5;

export class DigestSet {
  #count = 0;
  #digests = new Uint8Array(FIRST_CAPACITY * MAX_LOAD * DIGEST_BYTES);
  /** The number of a digest plus one; zero is an empty slot. */
  #slots = new Uint32Array(FIRST_CAPACITY);

  get size(): number {
    return this.#count;
  }

  has(digest: Uint8Array, offset = 0): boolean {
    return this.#slots[this.#slotOf(digest, offset)] !== 0;
  }

  /** Adds a copy of the digest at `offset`; false when it is there already. */
  add(digest: Uint8Array, offset = 0): boolean {
    const slot = this.#slotOf(digest, offset);
    if (this.#slots[slot] !== 0) return false;
    const at = this.#count * DIGEST_BYTES;
    for (let i = 0; i < DIGEST_BYTES; i++) this.#digests[at + i] = digest[offset + i]!;
    this.#slots[slot] = ++this.#count;
    if (this.#count >= this.#slots.length * MAX_LOAD) this.#grow();
    return true;
  }

  /** Where the digest stands, or the empty slot where it would. */
  #slotOf(digest: Uint8Array, offset: number): number {
    const mask = this.#slots.length - 1;
    let slot = wordAt(digest, offset) & mask;
    for (;;) {
      const number = this.#slots[slot]!;
      if (number === 0) return slot;
      if (compareDigests(this.#digests, digest, (number - 1) * DIGEST_BYTES, offset) === 0) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #grow(): void {
    const larger = new Uint8Array(2 * this.#digests.length);
    larger.set(this.#digests);
    this.#digests = larger;
    this.#slots = new Uint32Array(2 * this.#slots.length);
    for (let number = 0; number < this.#count; number++) {
      this.#slots[this.#slotOf(larger, number * DIGEST_BYTES)] = number + 1;
    }
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

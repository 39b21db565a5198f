// Bytes that come in pieces and are looked at as one: device sections, whose ends are known only when all is here.

import type { OwnedBytes } from '../../../base/bytes.ts';
import { RAM_SECTION, SECTION } from './wire.ts';

const FIRST_CAPACITY_BYTES = 64 * 1024;
const RAM_NAME = Array.from(RAM_SECTION.name, (letter) => letter.charCodeAt(0));
/** Behind the id: the name with its length, instance 0, the version. */
const RAM_HEADER = [RAM_NAME.length, ...RAM_NAME, 0, 0, 0, 0, 0, 0, 0, RAM_SECTION.version];
/** A tag and an id come before. */
const RAM_LEAD_BYTES = 5;

/** At most twice as long as what was put in. */
export class Gathered {
  #bytes: OwnedBytes = new Uint8Array(0);
  #length = 0;
  /** Where the header of RAM is looked for next. */
  #ramAt = 0;

  get length(): number {
    return this.#length;
  }

  append(piece: Uint8Array): void {
    const end = this.#length + piece.length;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#length, FIRST_CAPACITY_BYTES));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(piece, this.#length);
    this.#length = end;
  }

  /** Where the RAM section starts in what was gathered, or -1. Looks at each place once. */
  findRam(): number {
    const present = this.#bytes.subarray(0, this.#length);
    const whole = RAM_LEAD_BYTES + RAM_HEADER.length;
    for (;;) {
      const at = present.indexOf(SECTION.start, this.#ramAt);
      this.#ramAt = at < 0 ? present.length : at;
      if (at < 0 || at + whole > present.length) return -1;
      if (RAM_HEADER.every((byte, i) => present[at + RAM_LEAD_BYTES + i] === byte)) return at;
      this.#ramAt++;
    }
  }

  /** Cuts off what lies behind `length`, and returns it. */
  truncate(length: number): OwnedBytes {
    const cut = this.#bytes.slice(length, this.#length);
    this.#length = length;
    return cut;
  }

  /** All that was gathered, in place: nothing may be added after. */
  finish(): OwnedBytes {
    return this.#bytes.subarray(0, this.#length);
  }
}

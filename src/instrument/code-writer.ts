// Instructions into a buffer that grows.

const FIRST_CAPACITY = 512;
/** The longest integer that is written. */
const LEB_BYTES = 10;

export class CodeWriter {
  #bytes = new Uint8Array(FIRST_CAPACITY);
  length = 0;

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.length++] = value;
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  unsigned(value: number): void {
    this.#reserve(LEB_BYTES);
    let rest = value;
    while (rest >= 128) {
      this.#bytes[this.length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.length++] = rest;
  }

  /** A signed LEB128 integer of 32 bits; values from 2^31 count as their two's complement. */
  signed(value: number): void {
    this.#reserve(LEB_BYTES);
    let rest = value | 0;
    while (rest < -64 || rest > 63) {
      this.#bytes[this.length++] = (rest & 0x7f) | 0x80;
      rest >>= 7;
    }
    this.#bytes[this.length++] = rest & 0x7f;
  }

  /** An opcode and one index. */
  indexed(op: number, index: number): void {
    this.byte(op);
    this.unsigned(index);
  }

  i32(value: number): void {
    this.byte(0x41);
    this.signed(value);
  }

  clear(): void {
    this.length = 0;
  }

  /** What was written; valid until the next write. */
  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  #reserve(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + more));
    grown.set(this.written);
    this.#bytes = grown;
  }
}

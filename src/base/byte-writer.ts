// Writes little-endian fields into an array that grows: the mirror of ByteReader. Values that do not fit their
// field are a programmer's mistake, since every encoder checks what it was given first.

import { assert } from './assert.ts';
import type { OwnedBytes } from './bytes.ts';

const FIRST_CAPACITY = 256;

/** Appends fields; `finish` returns them. */
export class ByteWriter {
  #bytes: OwnedBytes = new Uint8Array(FIRST_CAPACITY);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    assert(isField(value, 2 ** 8), 'a value fits its 8 bits');
    const at = this.#reserve(1);
    this.#view.setUint8(at, value);
  }

  u16(value: number): void {
    assert(isField(value, 2 ** 16), 'a value fits its 16 bits');
    const at = this.#reserve(2);
    this.#view.setUint16(at, value, true);
  }

  u32(value: number): void {
    assert(isField(value, 2 ** 32), 'a value fits its 32 bits');
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, true);
  }

  /** A 64-bit integer, up to what JavaScript counts exactly. */
  u64(value: number): void {
    assert(isField(value, 2 ** 53), 'a value is exact');
    const at = this.#reserve(8);
    this.#view.setUint32(at, value % 2 ** 32, true);
    this.#view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  }

  /** A finite IEEE 754 double; minus zero is written as zero, so that equal numbers have equal bytes. */
  f64(value: number): void {
    assert(Number.isFinite(value), 'a number is finite');
    const at = this.#reserve(8);
    this.#view.setFloat64(at, value === 0 ? 0 : value, true);
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Overwrites a 32-bit field written before. */
  patchU32(at: number, value: number): void {
    assert(at >= 0 && at + 4 <= this.#length && isField(value, 2 ** 32), 'a patch lies in what was written');
    this.#view.setUint32(at, value, true);
  }

  /** All that was written, in an array of its own. */
  finish(): OwnedBytes {
    return this.#bytes.slice(0, this.#length);
  }

  /** Room for a field. It may replace the view: callers reserve first and take the view after. */
  #reserve(lengthBytes: number): number {
    const at = this.#length;
    const end = at + lengthBytes;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = end;
    return at;
  }
}

function isField(value: number, limit: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < limit;
}

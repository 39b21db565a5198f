// Reads little-endian fields from bytes that nobody vouches for. Each read checks what is left first and throws
// `format-truncated`; nothing is allocated on the word of a length field.

import type { OwnedBytes } from './bytes.ts';
import { VitrineError } from './error.ts';

/** Reads fields one after another. */
export class ByteReader {
  readonly #bytes: OwnedBytes;
  readonly #view: DataView;
  readonly #record: string;
  #offset: number;
  readonly #end: number;

  /** Reads `bytes` from `start` to `end`; `record` names them in errors. */
  constructor(bytes: OwnedBytes, record: string, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#record = record;
    this.#offset = start;
    this.#end = end;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#end - this.#offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  /** A 64-bit integer; throws `format-range` for one that JavaScript cannot count exactly. */
  u64(): number {
    const at = this.#advance(8);
    const high = this.#view.getUint32(at + 4, true);
    if (high >= 2 ** 21) this.refuse('format-range', { field: 'u64', offset: at, high });
    return high * 2 ** 32 + this.#view.getUint32(at, true);
  }

  /** A double; throws `format-range` for NaN, infinities and minus zero, which no writer writes. */
  f64(): number {
    const at = this.#advance(8);
    const value = this.#view.getFloat64(at, true);
    if (!Number.isFinite(value) || Object.is(value, -0)) {
      this.refuse('format-range', { field: 'f64', offset: at, value: String(value) });
    }
    return value;
  }

  /** The next `lengthBytes` bytes, in place: copy what outlives the record. */
  bytes(lengthBytes: number): OwnedBytes {
    const at = this.#advance(lengthBytes);
    return this.#bytes.subarray(at, at + lengthBytes);
  }

  /** Strict UTF-8 of that many bytes, a leading byte order mark kept; throws `format-range` when it is not. */
  text(lengthBytes: number): string {
    const at = this.#offset;
    const bytes = this.bytes(lengthBytes);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return this.refuse('format-range', { field: 'text', offset: at, lengthBytes });
    }
  }

  /** Throws `format-range` unless everything was read. */
  end(): void {
    if (this.remaining !== 0) this.refuse('format-range', { field: 'trailing bytes', count: this.remaining });
  }

  /** Throws a format error that names the record. */
  refuse(
    code: 'format-range' | 'format-limit' | 'format-tag' | 'format-truncated',
    data: Record<string, string | number>,
  ): never {
    throw new VitrineError(code, { record: this.#record, ...data });
  }

  #advance(lengthBytes: number): number {
    const at = this.#offset;
    if (lengthBytes > this.remaining) {
      this.refuse('format-truncated', { offset: at, neededBytes: lengthBytes, presentBytes: this.remaining });
    }
    this.#offset = at + lengthBytes;
    return at;
  }
}

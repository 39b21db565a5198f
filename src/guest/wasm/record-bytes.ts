// Writing and reading the device records of this folder: little-endian integers and floats, one after another. Reading
// throws `guest-state-invalid` and nothing else.

import type { OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';

export class RecordWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  u8(value: number): void {
    this.#view.setUint8(this.#take(1), value);
  }

  u32(value: number): void {
    const at = this.#take(4);
    this.#view.setUint32(at, value, true);
  }

  i64(value: bigint): void {
    const at = this.#take(8);
    this.#view.setBigInt64(at, value, true);
  }

  f64(value: number): void {
    const at = this.#take(8);
    this.#view.setFloat64(at, value, true);
  }

  /** A length, then that many bytes. */
  bytes(bytes: Uint8Array): void {
    this.u32(bytes.length);
    const at = this.#take(bytes.length);
    this.#bytes.set(bytes, at);
  }

  finish(): OwnedBytes {
    return this.#bytes.slice(0, this.#length);
  }

  #take(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

export class RecordReader {
  readonly #record: string;
  readonly #view: DataView<ArrayBuffer>;
  #at = 0;

  constructor(record: string, bytes: OwnedBytes) {
    this.#record = record;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** A length, then that many bytes. */
  bytes(): OwnedBytes {
    const length = this.u32();
    const at = this.#take(length);
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, length).slice();
  }

  require(condition: boolean, field: string): void {
    if (!condition) this.refuse(field);
  }

  requireEnd(): void {
    this.require(this.#at === this.#view.byteLength, 'length');
  }

  refuse(field: string): never {
    throw new VitrineError('guest-state-invalid', { record: this.#record, field, offset: this.#at });
  }

  #take(count: number): number {
    this.require(count <= this.#view.byteLength - this.#at, 'length');
    this.#at += count;
    return this.#at - count;
  }
}

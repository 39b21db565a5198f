// Writes a stream's fields, big-endian, into chunks that are given away when they are full.

import { assert } from '../../../base/assert.ts';
import type { OwnedBytes } from '../../../base/bytes.ts';
import type { DeviceSection } from './stream.ts';
import { SECTION } from './wire.ts';

/** Large enough that a stream of RAM is few chunks, small enough to be garbage soon. */
const CHUNK_BYTES = 1024 * 1024;
const FIRST_BYTES = 16 * 1024;

export class StreamWriter {
  #bytes: OwnedBytes = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  /** In chunks that were given away. */
  #takenBytes = 0;

  /** Bytes that were written and not taken. */
  get length(): number {
    return this.#length;
  }

  /** There is enough to be taken. */
  get isFull(): boolean {
    return this.#length >= CHUNK_BYTES;
  }

  u8(value: number): void {
    const at = this.#reserve(1);
    this.#view.setUint8(at, value);
  }

  u16(value: number): void {
    assert(value < 2 ** 16, 'a value fits its 16 bits');
    const at = this.#reserve(2);
    this.#view.setUint16(at, value);
  }

  u32(value: number): void {
    assert(value < 2 ** 32, 'a value fits its 32 bits');
    const at = this.#reserve(4);
    this.#view.setUint32(at, value);
  }

  /** Up to what JavaScript counts exactly. */
  u64(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a value is exact');
    const at = this.#reserve(8);
    this.#view.setUint32(at, Math.floor(value / 2 ** 32));
    this.#view.setUint32(at + 4, value % 2 ** 32);
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  ascii(text: string): void {
    const at = this.#reserve(text.length);
    for (let i = 0; i < text.length; i++) this.#bytes[at + i] = text.charCodeAt(i);
  }

  /** A name behind its length of one byte. */
  name(name: string): void {
    assert(/^[\x20-\x7e]{1,255}$/.test(name), 'a name is short printable ASCII');
    this.u8(name.length);
    this.ascii(name);
  }

  sectionHeader(tag: number, id: number, section: Omit<DeviceSection, 'body' | 'early'>): void {
    this.u8(tag);
    this.u32(id);
    this.name(section.name);
    this.u32(section.instanceId);
    this.u32(section.versionId);
  }

  footer(id: number): void {
    this.u8(SECTION.footer);
    this.u32(id);
  }

  /** Where in the stream its body begins. */
  deviceSection(id: number, section: DeviceSection): number {
    this.sectionHeader(SECTION.full, id, section);
    const offsetBytes = this.#takenBytes + this.#length;
    this.bytes(section.body);
    this.footer(id);
    return offsetBytes;
  }

  command(number: number, data: Uint8Array): void {
    this.u8(SECTION.command);
    this.u16(number);
    this.u16(data.length);
    this.bytes(data);
  }

  /** What was written since the last time, in an array of its own. */
  take(): OwnedBytes {
    const taken = this.#bytes.slice(0, this.#length);
    this.#takenBytes += this.#length;
    this.#length = 0;
    return taken;
  }

  #reserve(lengthBytes: number): number {
    const at = this.#length;
    const end = at + lengthBytes;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = end;
    return at;
  }
}

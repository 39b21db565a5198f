// Chunks of any size, read as big-endian fields. A reader asks `has` first and waits for more; nothing is allocated for a
// length that is only claimed: bytes are put together when all of them are here.

import { assert } from '../../../base/assert.ts';
import type { OwnedBytes } from '../../../base/bytes.ts';
import { type ErrorData, VitrineError } from '../../../base/error.ts';

/** Chunks that are read below this are joined, so that drops of a byte do not make millions of arrays. */
const JOINED_BYTES = 4096;

/** Room for the longest thing that is read in place: a page. */
const PAGE_SCRATCH_BYTES = 4096;

export class ByteQueue {
  #chunks: Uint8Array[] = [];
  /** Index of the first chunk that is not read up. */
  #first = 0;
  /** Read bytes of that chunk. */
  #at = 0;
  #available = 0;
  #offset = 0;
  #ended = false;
  readonly #small = new Uint8Array(PAGE_SCRATCH_BYTES);
  readonly #view = new DataView(this.#small.buffer);

  /** Bytes that are here and not read. */
  get available(): number {
    return this.#available;
  }

  /** Bytes read since the beginning. */
  get offset(): number {
    return this.#offset;
  }

  /** Nothing comes after what is here. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Adds a chunk; it may not change until it was read. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#available += chunk.length;
    const last = this.#chunks.length - 1;
    if (last > this.#first && this.#chunks[last]!.length + chunk.length <= JOINED_BYTES) {
      const joined = new Uint8Array(this.#chunks[last]!.length + chunk.length);
      joined.set(this.#chunks[last]!);
      joined.set(chunk, this.#chunks[last]!.length);
      this.#chunks[last] = joined;
    } else {
      this.#chunks.push(chunk);
    }
  }

  end(): void {
    this.#ended = true;
  }

  /** Whether so many bytes are here. Throws `format-truncated` where they never will be. */
  has(lengthBytes: number): boolean {
    if (this.#available >= lengthBytes) return true;
    if (this.#ended) {
      this.refuse('format-truncated', { neededBytes: lengthBytes, presentBytes: this.#available });
    }
    return false;
  }

  /** The next byte, which stays. */
  peekU8(): number {
    return this.#head()[this.#at]!;
  }

  u8(): number {
    const value = this.peekU8();
    this.#skip(1);
    return value;
  }

  u16(): number {
    this.#take(2);
    return this.#view.getUint16(0);
  }

  u32(): number {
    this.#take(4);
    return this.#view.getUint32(0);
  }

  /** A 64-bit integer; throws `format-range` for one that JavaScript cannot count exactly. */
  u64(): number {
    this.#take(8);
    const high = this.#view.getUint32(0);
    if (high >= 2 ** 21) this.refuse('format-range', { field: 'u64', high });
    return high * 2 ** 32 + this.#view.getUint32(4);
  }

  /** A page, in place where one chunk holds it: valid until the next read. */
  page(lengthBytes: number): Uint8Array {
    const head = this.#head();
    if (this.#at + lengthBytes > head.length) {
      this.#take(lengthBytes);
      return this.#small.subarray(0, lengthBytes);
    }
    const page = head.subarray(this.#at, this.#at + lengthBytes);
    this.#skip(lengthBytes);
    return page;
  }

  /** The next bytes, in an array of their own. All of them are here. */
  bytes(lengthBytes: number): OwnedBytes {
    assert(lengthBytes <= this.#available, 'bytes are here before they are taken');
    const bytes = new Uint8Array(lengthBytes);
    this.#copy(bytes, lengthBytes);
    return bytes;
  }

  /** Printable ASCII: what QEMU's names are. Throws `format-range` for anything else. */
  name(lengthBytes: number): string {
    const offset = this.#offset;
    const bytes = this.bytes(lengthBytes);
    const name = printable(bytes);
    if (name === undefined) this.refuse('format-range', { field: 'name', at: offset, lengthBytes });
    return name!;
  }

  /** What is left of the first chunk, in place. */
  chunk(): Uint8Array {
    const chunk = this.#head().subarray(this.#at);
    this.#skip(chunk.length);
    return chunk;
  }

  /** Puts bytes back that were the last ones read. */
  putBack(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const rest = this.#available === 0 ? [] : this.#chunks.slice(this.#first + 1);
    if (this.#available > 0) rest.unshift(this.#head().subarray(this.#at));
    this.#chunks = [bytes, ...rest];
    this.#first = 0;
    this.#at = 0;
    this.#available += bytes.length;
    this.#offset -= bytes.length;
  }

  /** Throws, naming the place. */
  refuse(
    code:
      | 'format-magic'
      | 'format-version'
      | 'format-range'
      | 'format-limit'
      | 'format-tag'
      | 'format-truncated'
      | 'stream-feature',
    data: ErrorData,
  ): never {
    throw new VitrineError(code, { record: 'migration stream', offset: this.#offset, ...data });
  }

  #head(): Uint8Array {
    const head = this.#chunks[this.#first];
    assert(head !== undefined, 'bytes are here before they are read');
    return head;
  }

  /** Reads a short field into the scratch. */
  #take(lengthBytes: number): void {
    this.#copy(this.#small, lengthBytes);
  }

  #copy(into: Uint8Array, lengthBytes: number): void {
    let done = 0;
    while (done < lengthBytes) {
      const head = this.#head();
      const count = Math.min(lengthBytes - done, head.length - this.#at);
      into.set(head.subarray(this.#at, this.#at + count), done);
      this.#skip(count);
      done += count;
    }
  }

  /** Passes over bytes of the first chunk. */
  #skip(lengthBytes: number): void {
    this.#at += lengthBytes;
    this.#offset += lengthBytes;
    this.#available -= lengthBytes;
    if (this.#at < this.#head().length) return;
    this.#at = 0;
    this.#first++;
    // Read chunks go in one move, not one by one.
    if (this.#first === this.#chunks.length || this.#first >= 1024) {
      this.#chunks = this.#chunks.slice(this.#first);
      this.#first = 0;
    }
  }
}

/** The text of printable ASCII, undefined for other bytes. */
export function printable(bytes: Uint8Array): string | undefined {
  let text = '';
  for (const byte of bytes) {
    if (byte < 0x20 || byte > 0x7e) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

// The arena: the memory that kernels work in, and a stack-like allocator over it.
//
// No view is held across a call that may grow the memory: take one with `bytes()`, use it, drop it. Memory is
// given back in the reverse order (`mark` and `release`); what was released is not zeroed.

import { assert } from '../base/assert.ts';
import { VitrineError } from '../base/error.ts';
import type { Address } from './kernels.ts';

const WASM_PAGE_BYTES = 65_536;
/** The first bytes stay unused, so that address 0 is never valid. */
const FIRST_ADDRESS = 1024;

/** The part of WebAssembly.Memory that an arena needs; the reference kernels bring a plain one. */
export interface ArenaMemory {
  readonly buffer: ArrayBufferLike;
  /** Adds 64 KiB pages; throws RangeError when there is no more memory. */
  grow(pages: number): number;
}

export class Arena {
  readonly memory: ArenaMemory;
  #next = FIRST_ADDRESS;
  /** The memory's buffer as of the last time it was too small: to ask a memory for it takes longer than a view does. */
  #buffer: ArrayBufferLike;

  constructor(memory: ArenaMemory, firstAddress = FIRST_ADDRESS) {
    this.memory = memory;
    this.#buffer = memory.buffer;
    this.#next = firstAddress;
  }

  /**
   * Reserves `lengthBytes` bytes and returns where they start.
   *
   * On failure nothing is reserved: throws `memory-exhausted` when the platform gives no more.
   */
  allocate(lengthBytes: number, alignBytes = 16): Address {
    assert(lengthBytes >= 0 && Number.isSafeInteger(lengthBytes), 'a length is a count of bytes');
    const at = Math.ceil(this.#next / alignBytes) * alignBytes;
    const end = at + lengthBytes;
    const missing = end - this.memory.buffer.byteLength;
    if (missing > 0) this.#grow(Math.ceil(missing / WASM_PAGE_BYTES), lengthBytes);
    this.#next = end;
    return at;
  }

  /** The present end of what is reserved. */
  mark(): Address {
    return this.#next;
  }

  /** Gives back all that was reserved since `mark`. */
  release(mark: Address): void {
    assert(mark >= 0 && mark <= this.#next, 'memory is released in reverse order');
    this.#next = mark;
  }

  /** The bytes at an address. Valid until the next `allocate`. */
  bytes(at: Address, lengthBytes: number): Uint8Array {
    return new Uint8Array(this.#reaching(at + lengthBytes), at, lengthBytes);
  }

  /** 32-bit words at an address that is a multiple of four. Valid until the next `allocate`. */
  words(at: Address, count: number): Uint32Array {
    return new Uint32Array(this.#reaching(at + 4 * count), at, count);
  }

  /** A buffer with these bytes. One of a memory that grew since is empty, or shared and too short for what is new. */
  #reaching(end: Address): ArrayBufferLike {
    if (end > this.#buffer.byteLength || this.#buffer.byteLength === 0) this.#buffer = this.memory.buffer;
    return this.#buffer;
  }

  #grow(pages: number, lengthBytes: number): void {
    try {
      this.memory.grow(pages);
    } catch (cause) {
      throw new VitrineError('memory-exhausted', { lengthBytes, reserved: this.#next }, { cause });
    }
  }
}

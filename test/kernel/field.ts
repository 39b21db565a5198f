// A piece of an arena in which a kernel may write only where it was told to.
//
// Inputs and outputs stand between canaries of random bytes, at any alignment; outputs hold garbage before the
// call, so that a kernel that writes too little is seen as well as one that writes too much.

import { expect } from 'vitest';
import type { Address, Kernels } from '../../src/kernel/index.ts';
import { randomBytes } from './builds.ts';

const CANARY_BYTES = 48;

export class Field {
  readonly #kernels: Kernels;
  readonly #random: () => number;
  readonly #start: Address;
  readonly #outputs: { readonly at: Address; readonly lengthBytes: number }[] = [];

  constructor(kernels: Kernels, random: () => number) {
    this.#kernels = kernels;
    this.#random = random;
    this.#start = kernels.arena.mark();
  }

  /** Where a copy of `bytes` was put, `offset` past a multiple of 16. */
  put(bytes: Uint8Array, offset = this.#random() % 16): Address {
    const { arena } = this.#kernels;
    const lengthBytes = offset + bytes.length + 2 * CANARY_BYTES;
    const start = arena.allocate(lengthBytes, 16);
    arena.bytes(start, lengthBytes).set(randomBytes(this.#random, lengthBytes));
    const at = start + CANARY_BYTES + offset;
    arena.bytes(at, bytes.length).set(bytes);
    return at;
  }

  /** Where a kernel may write `lengthBytes` bytes. */
  room(lengthBytes: number, offset?: number): Address {
    return this.writable(this.put(randomBytes(this.#random, lengthBytes), offset), lengthBytes);
  }

  /** Lets a kernel write over an input. */
  writable(at: Address, lengthBytes: number): Address {
    this.#outputs.push({ at, lengthBytes });
    return at;
  }

  /** Runs a kernel; fails when it wrote anywhere else. Returns what it returned. */
  run<Result>(kernel: () => Result): Result {
    const { arena } = this.#kernels;
    const lengthBytes = arena.mark() - this.#start;
    const before = arena.bytes(this.#start, lengthBytes).slice();
    const result = kernel();
    const after = arena.bytes(this.#start, lengthBytes).slice();
    for (const { at, lengthBytes } of this.#outputs) {
      const from = at - this.#start;
      after.set(before.subarray(from, from + lengthBytes), from);
    }
    // Buffer.compare first: an equality of megabytes is slow, and only wanted for its message.
    if (Buffer.compare(before, after) !== 0)
      expect(firstDifference(before, after), 'written outside').toBe(-1);
    return result;
  }

  read(at: Address, lengthBytes: number): Uint8Array {
    return this.#kernels.arena.bytes(at, lengthBytes).slice();
  }

  /** Fails unless these bytes stand there. */
  expectBytes(at: Address, expected: Uint8Array, message: string): void {
    const actual = this.read(at, expected.length);
    // As above: only a failure pays for the comparison element by element.
    if (Buffer.compare(actual, expected) !== 0) expect(actual, message).toEqual(expected);
  }

  close(): void {
    this.#kernels.arena.release(this.#start);
  }
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  return a.findIndex((byte, i) => byte !== b[i]);
}

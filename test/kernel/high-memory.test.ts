// Addresses that are negative as 32-bit integers, and runs that end where the memory does: at 2^32, where an end
// address is 0, and in a small memory, where reading one byte more is a trap.
//
// The memory is 4 GiB of address space, of which a few pages are ever touched. Where the platform refuses that
// much, the tests are skipped, and the run says so.

import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { isVitrineError } from '../../src/base/error.ts';
import { type Address, type Arena, type Kernels, loadKernels } from '../../src/kernel/index.ts';
import { BLAKE3_VECTORS, vectorInput } from './blake3-vectors.ts';
import { randomBytes, randomFrom, SEED } from './builds.ts';
import { bitmapOf, hardPairs } from './hard-pages.ts';

const PAGE_BYTES = 256;
/** One of them ends with a page alone and the other with a pair. */
const PAGE_COUNTS = [21, 22];
const PAGE_COUNT = 22;
const SMALL_BYTES = 2 ** 20;
const RUN_BYTES = PAGE_BYTES * PAGE_COUNT;
const [VECTOR_BYTES, VECTOR_DIGEST] = BLAKE3_VECTORS.find(([lengthBytes]) => lengthBytes === 102_400)!;

describe.each(['plain', 'simd'] as const)('%s', (build) => {
  /** Kernels whose memory is 4 GiB from the start, or undefined where there is not so much. */
  async function tallKernels(): Promise<Kernels | undefined> {
    const kernels = await loadKernels({ build });
    const mark = kernels.arena.mark();
    try {
      kernels.arena.allocate(2 ** 32 - mark, 1);
      kernels.arena.release(mark);
      return kernels;
    } catch (error) {
      if (isVitrineError(error, 'memory-exhausted')) return undefined;
      throw error;
    }
  }

  it.for([
    ['across 2 GiB', 2 ** 31 + RUN_BYTES],
    ['above 2 GiB', 2 ** 31 + 2 ** 30],
    ['up to the very end', 2 ** 32],
  ] as const)('works %s', async ([, end], { skip }) => {
    const kernels = await tallKernels();
    if (kernels === undefined) return skip('no 4 GiB of address space here');
    checkAll(kernels, end);
  });

  it('reads and writes nothing past the end of a memory', async () => {
    const kernels = await loadKernels({ build, maxBytes: SMALL_BYTES });
    const mark = kernels.arena.mark();
    kernels.arena.allocate(SMALL_BYTES - mark, 1);
    kernels.arena.release(mark);
    expect(kernels.arena.memory.buffer.byteLength).toBe(SMALL_BYTES);
    checkAll(kernels, SMALL_BYTES);
  });
});

/** Everything, on runs that end `shift` bytes before `end`. */
function checkAll(kernels: Kernels, end: Address): void {
  const random = randomFrom(SEED);
  const low = kernels.arena.allocate(2 ** 18);
  for (const shift of [0, 1, 13]) {
    checkCompare(kernels, end - shift, low, random);
    checkXor(kernels, end - shift, low, random);
    checkMoves(kernels, end - shift, low, random);
    checkDigest(kernels, end - shift, low);
    checkBits(kernels, end - shift, low, random);
  }
}

/** Puts bytes so that they end there. */
function putBefore(arena: Arena, end: Address, bytes: Uint8Array): Address {
  arena.bytes(end - bytes.length, bytes.length).set(bytes);
  return end - bytes.length;
}

function checkCompare(kernels: Kernels, end: Address, low: Address, random: () => number): void {
  const { arena } = kernels;
  for (const pageCount of PAGE_COUNTS) {
    const { a, b, different } = hardPairs(PAGE_BYTES, pageCount, random);
    const right = putBefore(arena, end, b);
    const left = putBefore(arena, right, a);
    const expected = bitmapOf(different, pageCount);
    for (const bits of [low, left - 16]) {
      expect(kernels.comparePages(left, right, PAGE_BYTES, pageCount, bits)).toBe(different.length);
      expect(arena.bytes(bits, expected.length)).toEqual(expected);
    }
  }
  const right = end - RUN_BYTES;
  arena.bytes(right, RUN_BYTES).fill(0);
  expect(kernels.zeroPages(right, PAGE_BYTES, PAGE_COUNT, low)).toBe(PAGE_COUNT);
  arena.bytes(right, RUN_BYTES).fill(7);
  expect(kernels.fillPages(right, PAGE_BYTES, PAGE_COUNT, low, low + 64)).toBe(PAGE_COUNT);
  expect(arena.bytes(low + 64, 8 * PAGE_COUNT).every((byte) => byte === 7)).toBe(true);
}

function checkXor(kernels: Kernels, end: Address, low: Address, random: () => number): void {
  const { arena } = kernels;
  const bytes = randomBytes(random, 5003);
  const a = putBefore(arena, end, bytes);
  arena.bytes(low, bytes.length).fill(0xff);
  expect(kernels.xorBytes(a, low, a, bytes.length)).toBe(bytes.filter((byte) => byte !== 0xff).length);
  expect(arena.bytes(a, bytes.length)).toEqual(bytes.map((byte) => byte ^ 0xff));
}

function checkMoves(kernels: Kernels, end: Address, low: Address, random: () => number): void {
  const { arena } = kernels;
  const bytes = randomBytes(random, RUN_BYTES);
  const pages = putBefore(arena, end, bytes);
  arena.bytes(low, 4).set([PAGE_COUNT - 1, 0, 0, 0]);
  kernels.gatherPages(pages, low, PAGE_BYTES, 1, low + 256);
  expect(arena.bytes(low + 256, PAGE_BYTES)).toEqual(bytes.subarray(-PAGE_BYTES));
  arena.bytes(low + 256, PAGE_BYTES).fill(9);
  kernels.scatterPages(pages, low, PAGE_BYTES, 1, low + 256);
  expect(arena.bytes(end - PAGE_BYTES, PAGE_BYTES).every((byte) => byte === 9)).toBe(true);
}

function checkDigest(kernels: Kernels, end: Address, low: Address): void {
  const { arena } = kernels;
  const at = putBefore(arena, end, vectorInput(VECTOR_BYTES));
  kernels.digestBytes(at, VECTOR_BYTES, low);
  expect(toHex(arena.bytes(low, 32))).toBe(VECTOR_DIGEST);
  for (const [pageBytes, digest] of BLAKE3_VECTORS.filter(([bytes]) =>
    [1024, 4096, 16_384].includes(bytes),
  )) {
    for (let count = 1; count <= 5; count++) {
      let first = end;
      for (let i = 0; i < count; i++) first = putBefore(arena, first, vectorInput(pageBytes));
      kernels.digestPages(first, pageBytes, count, low);
      expect(toHex(arena.bytes(low, 32 * count))).toBe(digest.repeat(count));
    }
  }
}

function checkBits(kernels: Kernels, end: Address, low: Address, random: () => number): void {
  const { arena } = kernels;
  const bitmap = randomBytes(random, 77);
  const bits = putBefore(arena, end, bitmap);
  const expected = Array.from({ length: 77 * 8 }, (_, i) => i).filter(
    (i) => (bitmap[i >> 3]! >> (i & 7)) & 1,
  );
  expect(kernels.countBits(bits, 77 * 8)).toBe(expected.length);
  expect(kernels.listBits(bits, 77 * 8, low)).toBe(expected.length);
  expect([...arena.words(low, expected.length)]).toEqual(expected);
  arena.bytes(low, 77).fill(0x0f);
  kernels.orBits(bits, low, 77);
  expect(arena.bytes(bits, 77)).toEqual(bitmap.map((byte) => byte | 0x0f));
  kernels.andNotBits(bits, low, 77);
  expect(arena.bytes(bits, 77)).toEqual(bitmap.map((byte) => byte & 0xf0));
}

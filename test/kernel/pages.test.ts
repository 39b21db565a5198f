// The kernels over pages: compare, zero, fill, gather, scatter; each build against what the pages were made to be.

import { beforeAll, describe, expect, it } from 'vitest';
import { type Kernels, loadKernels } from '../../src/kernel/index.ts';
import { BUILDS, randomBytes, randomFrom, SEED } from './builds.ts';
import { Field } from './field.ts';
import { bitmapOf, hardFills, hardPairs, PAGE_COUNTS, PAGE_SIZES } from './hard-pages.ts';

const ALIGNMENTS = Array.from({ length: 16 }, (_, i) => i);
const SMALL_PAGE_BYTES = 256;

describe.each(BUILDS)('%s', (build) => {
  let kernels: Kernels;
  beforeAll(async () => {
    kernels = await loadKernels({ build });
  });

  function checkCompare(pageBytes: number, pageCount: number, random: () => number, offsets: number[] = []) {
    const { a, b, different } = hardPairs(pageBytes, pageCount, random);
    const field = new Field(kernels, random);
    const [left, right] = [field.put(a, offsets[0]), field.put(b, offsets[1])];
    const bits = field.room(Math.ceil(pageCount / 8), offsets[2]);
    const count = field.run(() => kernels.comparePages(left, right, pageBytes, pageCount, bits));
    const message = `${pageCount} pages of ${pageBytes}, offsets ${offsets}, SEED=${SEED}`;
    field.expectBytes(bits, bitmapOf(different, pageCount), message);
    expect(count, message).toBe(different.length);
    field.close();
  }

  function checkFills(pageBytes: number, pageCount: number, random: () => number, offsets: number[] = []) {
    const { pages, zeros, fills } = hardFills(pageBytes, pageCount, random);
    const message = `${pageCount} pages of ${pageBytes}, offsets ${offsets}, SEED=${SEED}`;
    const field = new Field(kernels, random);
    const at = field.put(pages, offsets[0]);
    const bits = field.room(Math.ceil(pageCount / 8), offsets[1]);
    expect(
      field.run(() => kernels.zeroPages(at, pageBytes, pageCount, bits)),
      message,
    ).toBe(zeros.length);
    field.expectBytes(bits, bitmapOf(zeros, pageCount), message);

    const patterns = field.room(8 * pageCount, offsets[2]);
    const count = field.run(() => kernels.fillPages(at, pageBytes, pageCount, bits, patterns));
    const expected = new Uint8Array(8 * pageCount);
    for (const [page, pattern] of fills) expected.set(pattern, 8 * page);
    field.expectBytes(patterns, expected, message);
    field.expectBytes(bits, bitmapOf(fills.keys(), pageCount), message);
    expect(count, message).toBe(fills.size);
    field.close();
  }

  function checkMoves(pageBytes: number, pageCount: number, random: () => number, offsets: number[] = []) {
    const message = `${pageCount} pages of ${pageBytes}, offsets ${offsets}, SEED=${SEED}`;
    const pages = randomBytes(random, pageBytes * Math.max(pageCount, 1));
    const list = Uint32Array.from({ length: pageCount }, () => random() % pageCount);
    const field = new Field(kernels, random);
    const from = field.put(pages, offsets[0]);
    const indices = field.put(new Uint8Array(list.buffer), offsets[1]);
    const out = field.room(pageBytes * pageCount, offsets[2]);
    field.run(() => kernels.gatherPages(from, indices, pageBytes, pageCount, out));
    const gathered = new Uint8Array(pageBytes * pageCount);
    for (const [i, page] of list.entries()) gathered.set(pageOf(pages, page, pageBytes), i * pageBytes);
    field.expectBytes(out, gathered, message);
    field.close();

    const other = new Field(kernels, random);
    const target = other.writable(other.put(pages, offsets[0]), pages.length);
    const back = other.put(new Uint8Array(list.buffer), offsets[1]);
    const source = other.put(gathered.reverse(), offsets[2]);
    other.run(() => kernels.scatterPages(target, back, pageBytes, pageCount, source));
    const scattered = pages.slice();
    for (const [i, page] of list.entries()) scattered.set(pageOf(gathered, i, pageBytes), page * pageBytes);
    other.expectBytes(target, scattered, message);
    other.close();
  }

  const checks = { compare: checkCompare, 'zero and fill': checkFills, 'gather and scatter': checkMoves };

  describe.each(Object.entries(checks))('%s', (_, check) => {
    it.each(PAGE_SIZES)('holds for pages of %i bytes, none to 33 of them', (pageBytes) => {
      const random = randomFrom(SEED + pageBytes);
      for (const pageCount of PAGE_COUNTS) check(pageBytes, pageCount, random);
    });

    it('holds at every alignment of every pointer', () => {
      const random = randomFrom(SEED);
      for (const first of ALIGNMENTS) {
        for (const second of ALIGNMENTS) check(SMALL_PAGE_BYTES, 3, random, [first, second, random() % 16]);
        for (const third of ALIGNMENTS) check(SMALL_PAGE_BYTES, 2, random, [first, random() % 16, third]);
      }
    });

    it('holds for many random pages', () => {
      const random = randomFrom(SEED + 1);
      for (let i = 0; i < 80; i++) check(SMALL_PAGE_BYTES << (random() % 3), random() % 40, random);
    });
  });

  it('finds a difference in every single byte of a page, in either of two', () => {
    const random = randomFrom(SEED + 2);
    const pageBytes = 512;
    const bytes = randomBytes(random, 2 * pageBytes);
    const field = new Field(kernels, random);
    const [a, b] = [field.put(bytes, 3), field.put(bytes, 9)];
    const bits = field.room(1);
    for (let at = 0; at < bytes.length; at++) {
      kernels.arena.bytes(b, bytes.length)[at]! ^= 1 << (at % 8);
      expect(kernels.comparePages(a, b, pageBytes, 2, bits)).toBe(1);
      expect(field.read(bits, 1)[0]).toBe(at < pageBytes ? 1 : 2);
      kernels.arena.bytes(b, bytes.length)[at] = bytes[at]!;
    }
    field.close();
  });

  it('sees through every single byte that a fill or a page of zeros lacks', () => {
    const pageBytes = 512;
    const random = randomFrom(SEED + 3);
    for (const pattern of [new Uint8Array(8), randomBytes(random, 8)]) {
      const page = Uint8Array.from({ length: pageBytes }, (_, i) => pattern[i % 8]!);
      const field = new Field(kernels, random);
      const at = field.put(page, 5);
      const [bits, patterns] = [field.room(1), field.room(8)];
      expect(kernels.fillPages(at, pageBytes, 1, bits, patterns)).toBe(1);
      expect(field.read(patterns, 8)).toEqual(pattern);
      for (let i = 0; i < pageBytes; i++) {
        kernels.arena.bytes(at, pageBytes)[i]! ^= 1 << (i % 8);
        expect(kernels.fillPages(at, pageBytes, 1, bits, patterns)).toBe(0);
        expect(kernels.zeroPages(at, pageBytes, 1, bits)).toBe(0);
        kernels.arena.bytes(at, pageBytes)[i] = page[i]!;
      }
      field.close();
    }
  });
});

function pageOf(pages: Uint8Array, page: number, pageBytes: number): Uint8Array {
  return pages.subarray(page * pageBytes, (page + 1) * pageBytes);
}

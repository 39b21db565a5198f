// Pages on which kernels go wrong, and what is true of each: known from how they were made, not computed.

import { randomBytes } from './builds.ts';

export const PAGE_SIZES = [256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];
export const PAGE_COUNTS = [0, 1, 7, 8, 9, 31, 33];

const PATTERN_BYTES = 8;

/** A page that differs from another in a chosen way, or in none. */
const CHANGES = [
  () => [],
  () => [0],
  (pageBytes: number) => [pageBytes - 1],
  (pageBytes: number, random: () => number) => [random() % pageBytes],
  // The last byte of one vector, the first of the next, and the same of lines and steps.
  (pageBytes: number, random: () => number) => [16 * (random() % (pageBytes / 16)) + 15],
  (pageBytes: number, random: () => number) => [64 * (random() % (pageBytes / 64))],
  (pageBytes: number) => [pageBytes / 2 - 1, pageBytes / 2],
  (pageBytes: number) => Array.from({ length: pageBytes }, (_, i) => i),
] as const satisfies readonly ((pageBytes: number, random: () => number) => number[])[];

export interface HardPairs {
  readonly a: Uint8Array;
  readonly b: Uint8Array;
  readonly different: readonly number[];
}

/** Two runs of pages that differ here and there; a difference is often a single bit. */
export function hardPairs(pageBytes: number, pageCount: number, random: () => number): HardPairs {
  const a = randomBytes(random, pageBytes * pageCount);
  const b = a.slice();
  const different: number[] = [];
  for (let page = 0; page < pageCount; page++) {
    const changes = CHANGES[random() % CHANGES.length]!(pageBytes, random);
    for (const at of changes) b[page * pageBytes + at]! ^= 1 << (random() % 8);
    if (changes.length > 0) different.push(page);
  }
  return { a, b, different };
}

export interface HardFills {
  readonly pages: Uint8Array;
  readonly zeros: readonly number[];
  /** Index of each fill and its pattern; pages of zeros among them. */
  readonly fills: ReadonlyMap<number, Uint8Array>;
}

/** Pages of zeros, of patterns with periods 1 to 16, and almost of them. */
export function hardFills(pageBytes: number, pageCount: number, random: () => number): HardFills {
  const pages = new Uint8Array(pageBytes * pageCount);
  const zeros: number[] = [];
  const fills = new Map<number, Uint8Array>();
  for (let page = 0; page < pageCount; page++) {
    const bytes = pages.subarray(page * pageBytes, (page + 1) * pageBytes);
    const zero = random() % 3 === 0;
    const period = [1, 2, 4, 8, 16][random() % 5]!;
    const pattern = zero ? new Uint8Array(period) : randomBytes(random, period);
    // A period of 16 must not be one of 8 by chance, nor a pattern be zero.
    if (!zero) pattern[0] = 1 + (random() % 255);
    if (!zero && period === 16) pattern[8] = pattern[0]! ^ 0x10;
    for (let i = 0; i < pageBytes; i++) bytes[i] = pattern[i % period]!;
    const changes = CHANGES[random() % (CHANGES.length - 1)]!(pageBytes, random);
    for (const at of changes) bytes[at]! ^= 1 << (random() % 8);
    // One or two bytes out of line are never a pattern: at least 32 repeats say otherwise.
    if (changes.length > 0 || (period === 16 && !zero)) continue;
    fills.set(page, bytes.slice(0, PATTERN_BYTES));
    if (zero) zeros.push(page);
  }
  return { pages, zeros, fills };
}

/** The bitmap of some indices, as a kernel writes it. */
export function bitmapOf(indices: Iterable<number>, bitCount: number): Uint8Array {
  const bitmap = new Uint8Array(Math.ceil(bitCount / 8));
  for (const index of indices) bitmap[index >> 3]! |= 1 << (index & 7);
  return bitmap;
}

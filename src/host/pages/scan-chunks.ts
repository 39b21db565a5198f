// A thread's part of a scan: it takes chunk after chunk until there is none left, so that threads that have more of a core
// do more of the work.

import { closeSync } from 'node:fs';
import type { Kernels } from '../../kernel/kernels.ts';
import { openRam, readFully } from './read-ram.ts';
import {
  CHUNK_BYTES,
  CHUNK_PAGES,
  CURSOR,
  DIGEST_BYTES,
  IS_FOR_ZEROS,
  IS_PARTIAL,
  KEPT,
  PAGE_BYTES,
  type ScanMemory,
} from './scan-memory.ts';

const DIGEST_WORDS = DIGEST_BYTES / 4;

/** What a thread needs to know of a scan. */
export interface ScanTask {
  readonly kind: 'scan';
  /** The RAM, as a file. */
  readonly path: string;
  readonly memory: ScanMemory;
}

/** Where a thread works. */
export interface ScanWorkArea {
  readonly kernels: Kernels;
  readonly pages: number;
  readonly bits: number;
  readonly digests: number;
}

export function openScanWorkArea(kernels: Kernels): ScanWorkArea {
  const { arena } = kernels;
  return {
    kernels,
    // Aligned, since the file may be one that is read past the cache.
    pages: arena.allocate(CHUNK_BYTES, PAGE_BYTES),
    bits: arena.allocate(CHUNK_PAGES / 8, 16),
    digests: arena.allocate(CHUNK_PAGES * DIGEST_BYTES, 16),
  };
}

/** Looks at chunks until none is left. Throws `guest-failed` when the file cannot be read or became shorter. */
export function scanChunks({ path, memory }: ScanTask, work: ScanWorkArea): void {
  const file = openRam(path);
  try {
    const chunkCount = Math.ceil(memory.pageCount / CHUNK_PAGES);
    for (;;) {
      const chunk = Atomics.add(memory.control, CURSOR, 1);
      if (chunk >= chunkCount) return;
      const { first, count } = partOf(memory, chunk);
      if (count === 0) continue;
      const bytes = work.kernels.arena.bytes(work.pages, count * PAGE_BYTES);
      readFully(file, path, bytes, first * PAGE_BYTES);
      if (Atomics.load(memory.control, IS_FOR_ZEROS) === 1) findNonZero(memory, work, first, count);
      else compareChunk(memory, work, first, count, bytes);
    }
  } finally {
    closeSync(file);
  }
}

/** Of a chunk, the pages from the first to the last one that are to be looked at. */
function partOf(memory: ScanMemory, chunk: number): { readonly first: number; readonly count: number } {
  let first = chunk * CHUNK_PAGES;
  let end = Math.min(first + CHUNK_PAGES, memory.pageCount);
  if (Atomics.load(memory.control, IS_PARTIAL) === 0) return { first, count: end - first };
  const isAsked = (page: number): boolean => ((memory.only[page >>> 5]! >>> (page & 31)) & 1) === 1;
  const { only } = memory;
  const word = first >>> 5;
  // Most chunks have none.
  if (only.subarray(word, word + CHUNK_PAGES / 32).every((bits) => bits === 0)) return { first, count: 0 };
  while (first < end && !isAsked(first)) first++;
  while (first < end && !isAsked(end - 1)) end--;
  return { first, count: end - first };
}

function findNonZero(
  memory: ScanMemory,
  { kernels, pages, bits }: ScanWorkArea,
  first: number,
  count: number,
): void {
  if (kernels.zeroPages(pages, PAGE_BYTES, count, bits) === count) return;
  const zeros = kernels.arena.bytes(bits, CHUNK_PAGES / 8);
  for (let index = 0; index < count; index++) {
    const page = first + index;
    if (((zeros[index >> 3]! >> (index & 7)) & 1) === 0) memory.changed[page >>> 5]! |= 1 << (page & 31);
  }
}

function compareChunk(
  memory: ScanMemory,
  { kernels, pages, bits, digests }: ScanWorkArea,
  first: number,
  count: number,
  bytes: Uint8Array,
): void {
  const { arena } = kernels;
  const zeroCount = kernels.zeroPages(pages, PAGE_BYTES, count, bits);
  if (zeroCount < count) kernels.digestPages(pages, PAGE_BYTES, count, digests);
  const zeros = arena.bytes(bits, CHUNK_PAGES / 8);
  const now = new Int32Array(arena.memory.buffer, digests, count * DIGEST_WORDS);
  for (let index = 0; index < count; index++) {
    const page = first + index;
    const isZero = ((zeros[index >> 3]! >> (index & 7)) & 1) === 1;
    const isChanged = isZero
      ? !isZeroDigest(memory.digests, page * DIGEST_WORDS)
      : !isSameDigest(memory.digests, page * DIGEST_WORDS, now, index * DIGEST_WORDS);
    if (isChanged) {
      // First the bit: whoever ends this thread between the two finds a page too many and not one too few.
      memory.changed[page >>> 5]! |= 1 << (page & 31);
      takeDigest(memory.digests, page * DIGEST_WORDS, isZero ? undefined : now, index * DIGEST_WORDS);
    }
    if (isZero || !(isChanged || ((memory.wanted[page >>> 5]! >>> (page & 31)) & 1) === 1)) continue;
    const place = Atomics.add(memory.control, KEPT, 1);
    if (place >= memory.keptPages.length) continue;
    memory.keptPages[place] = page;
    memory.kept.set(bytes.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES), place * PAGE_BYTES);
  }
}

function isZeroDigest(digests: Int32Array, at: number): boolean {
  for (let word = 0; word < DIGEST_WORDS; word++) if (digests[at + word] !== 0) return false;
  return true;
}

function isSameDigest(a: Int32Array, atA: number, b: Int32Array, atB: number): boolean {
  for (let word = 0; word < DIGEST_WORDS; word++) if (a[atA + word] !== b[atB + word]) return false;
  return true;
}

function takeDigest(into: Int32Array, at: number, from: Int32Array | undefined, atFrom: number): void {
  for (let word = 0; word < DIGEST_WORDS; word++) into[at + word] = from?.[atFrom + word] ?? 0;
}

// A part of one region's mirror in one kernel memory, and the scratch space beside it.

import { KIB } from '../base/limits.ts';
import type { Address, Kernels } from '../kernel/kernels.ts';
import type { PageSet } from '../memory/page-set.ts';
import type { Region } from '../memory/region.ts';

/** Bytes copied and compared at a time: staging, mirror part and guest part stay in a 2 MiB cache. */
export const CHUNK_BYTES = 256 * KIB;

export interface Segment {
  readonly kernels: Kernels;
  readonly region: Region;
  readonly firstPage: number;
  readonly pageCount: number;
  readonly at: Address;
  readonly work: WorkArea;
  /**
   * By chunk: 0 while the mirror holds zeros alone there, as it does for most of a guest that has memory to spare. In shared
   * memory where the mirror is.
   */
  readonly touched: Uint8Array;
}

/** Scratch space of one kernel memory. */
export interface WorkArea {
  readonly staging: Address;
  readonly changedPages: Address;
  readonly bits: Address;
  readonly list: Address;
}

export function reserveWorkArea(kernels: Kernels): WorkArea {
  const { arena } = kernels;
  const maxPages = CHUNK_BYTES / 256;
  return {
    staging: arena.allocate(CHUNK_BYTES, 64),
    changedPages: arena.allocate(CHUNK_BYTES, 64),
    bits: arena.allocate(Math.ceil(maxPages / 8), 16),
    list: arena.allocate(4 * maxPages, 16),
  };
}

/** A segment of `pageCount` pages from `firstPage`, all zeros. Throws `memory-exhausted`. */
export function openSegment(
  kernels: Kernels,
  work: WorkArea,
  region: Region,
  { firstPage, pageCount }: Pick<Segment, 'firstPage' | 'pageCount'>,
): Segment {
  const at = kernels.arena.allocate(pageCount * region.pageBytes, 64);
  const chunks = Math.ceil(pageCount / chunkPagesOf(region));
  const touched = isShared(kernels) ? new Uint8Array(new SharedArrayBuffer(chunks)) : new Uint8Array(chunks);
  return { kernels, region, firstPage, pageCount, at, work, touched };
}

/** Whether other threads can see its memory. */
export function isShared({ arena }: Kernels): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && arena.memory.buffer instanceof SharedArrayBuffer;
}

export function chunkPagesOf(region: Region): number {
  return Math.max(1, Math.floor(CHUNK_BYTES / region.pageBytes));
}

/** Where a page lies in the mirror's own memory. */
export function addressIn({ at, firstPage, region }: Segment, page: number): Address {
  return at + (page - firstPage) * region.pageBytes;
}

/** Whether any chunk that holds some of these pages was written to. */
export function isTouched({ region, firstPage, touched }: Segment, first: number, count: number): boolean {
  const chunkPages = chunkPagesOf(region);
  const last = Math.floor((first + count - 1 - firstPage) / chunkPages);
  for (let chunk = Math.floor((first - firstPage) / chunkPages); chunk <= last; chunk++) {
    if (touched[chunk] !== 0) return true;
  }
  return false;
}

export function touch({ region, firstPage, touched }: Segment, first: number, count: number): void {
  const chunkPages = chunkPagesOf(region);
  const from = Math.floor((first - firstPage) / chunkPages);
  touched.fill(1, from, Math.floor((first + count - 1 - firstPage) / chunkPages) + 1);
}

/** Runs of candidate pages inside one segment, none longer than `maxCount`. */
export function* runsIn(segment: Segment, candidates: PageSet | null, maxCount: number) {
  const end = segment.firstPage + segment.pageCount;
  if (candidates === null) {
    for (let first = segment.firstPage; first < end; first += maxCount) {
      yield { first, count: Math.min(maxCount, end - first) };
    }
    return;
  }
  for (const run of candidates.runs(maxCount)) {
    const first = Math.max(run.first, segment.firstPage);
    const last = Math.min(run.first + run.count, end);
    if (first < last) yield { first, count: last - first };
  }
}

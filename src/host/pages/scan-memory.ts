// What threads share while they look at one machine's RAM: all in shared memory, so that a scan of any length sends a
// message a thread and nothing a page.
//
//   control   cursor: the next chunk to be looked at | kept: room taken in `keptPages`, beyond its end where there was more
//   digests   32 bytes a page: BLAKE3-256 of what it held when a thread last looked, zeros for a page of zeros
//   changed   a bit a page: it held something else than the time before
//   wanted    a bit a page: copy it aside, changed or not
//   only      a bit a page: look at it; counts where `control` says that not all are looked at
//   kept      copies of pages, in the order in which threads came to them; `keptPages` says which ones
//
// One writer a word: a chunk belongs to the thread that took it from the cursor, and a chunk is whole words of each bitmap. A
// place in `kept` belongs to the thread that took its number. The main thread reads when all threads have answered, and
// messages order memory. Only `control` is used with Atomics.

import { KIB, LIMITS, MIB } from '../../base/limits.ts';

export const PAGE_BYTES = LIMITS.defaultPageBytes;
export const DIGEST_BYTES = 32;
/** Read at a time: what is read stays in a core's cache until it is digested. A multiple of 32 pages. */
export const CHUNK_BYTES = 256 * KIB;
export const CHUNK_PAGES = CHUNK_BYTES / PAGE_BYTES;
/** Room for copies of pages: a guest that has written more since the last save rests until they are encoded. */
const MOST_KEPT_BYTES = 128 * MIB;

export const CURSOR = 0;
export const KEPT = 1;
/** 1 where `only` counts. */
export const IS_PARTIAL = 2;
/** 1 where `changed` is to say which pages hold something, and no more is asked. */
export const IS_FOR_ZEROS = 3;
const CONTROL_WORDS = 4;

/** The shared arrays; they are sent to threads as they are. */
export interface ScanMemory {
  readonly pageCount: number;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly digests: Int32Array<SharedArrayBuffer>;
  readonly changed: Uint32Array<SharedArrayBuffer>;
  readonly wanted: Uint32Array<SharedArrayBuffer>;
  readonly only: Uint32Array<SharedArrayBuffer>;
  readonly kept: Uint8Array<SharedArrayBuffer>;
  readonly keptPages: Uint32Array<SharedArrayBuffer>;
}

/** Memory to look at `sizeBytes` of RAM with. What is not used yet takes no room. */
export function openScanMemory(sizeBytes: number, mostKeptBytes = MOST_KEPT_BYTES): ScanMemory {
  const pageCount = sizeBytes / PAGE_BYTES;
  const words = Math.ceil(pageCount / CHUNK_PAGES) * (CHUNK_PAGES / 32);
  const keptPages = Math.min(pageCount, Math.floor(mostKeptBytes / PAGE_BYTES));
  return {
    pageCount,
    control: new Int32Array(new SharedArrayBuffer(4 * CONTROL_WORDS)),
    digests: new Int32Array(new SharedArrayBuffer(DIGEST_BYTES * pageCount)),
    changed: new Uint32Array(new SharedArrayBuffer(4 * words)),
    wanted: new Uint32Array(new SharedArrayBuffer(4 * words)),
    only: new Uint32Array(new SharedArrayBuffer(4 * words)),
    kept: new Uint8Array(new SharedArrayBuffer(PAGE_BYTES * keptPages)),
    keptPages: new Uint32Array(new SharedArrayBuffer(4 * keptPages)),
  };
}

// Where the map of written pages lies: in pages of 64 KiB of its own behind the guest's memory, one byte a granule, sixteen
// granules a page.
//
//   | guest memory, as large as it is now | guard, one guest page | map … | end of memory
//                                         ^ guest end             ^ map base = guest end + pageBytes
//
// A store touches the granule of its last byte alone. No store, and no group of stores that is proven together, is longer
// than a granule, so its first byte lies in that granule or the one before; that one is in another page only where the
// touched granule is the first of its page. Whoever reads the map therefore takes the page before along with a first
// granule: one instruction less in sixteen would have gone to the second mark, one page in sixteen is read in vain.
// The last byte and not the first, since an address past the end falls on the guard, and one below 0 nowhere.
//
// What a byte says depends on the kind of the map:
//
//   marks      1: touched. Stores set it; `clearMarks` sets all to 0
//   barriers   0: touched. Stores look at it and call when it is 1; `clearMarks` sets all to 1. A page was touched when its
//              granules 1 … 15 are 0; granule 0 is only when the page before was, too
//
// `memory.size` and `memory.grow` answer as if those pages were not there, and growth moves the map to the new end, so
// no allocator takes them for its own. Tried in thought and dropped: a second memory (exact, but neither Node 20 nor
// Safari has several memories); the guest's addresses shifted up by static offsets (exact too, but the host's own
// reads would all be off); a place fixed at the end of the maximum (the host would see all of it as memory in use; a
// shared memory has it there all the same, since another thread cannot be told that the map has moved);
// a block of the guest's own allocator (its heap is then another one than without marks).
//
// The price: a load or store at most those pages past the guest's end does not trap. A stray store there touches what it
// hits, and the map covers itself: whoever reads it sees that it cannot be trusted (`isDamaged`) and takes all pages as
// written. What such a store writes over is never its own touch, but for the one address where the map tells of itself,
// and there it harms no page of the guest. Ranges (`memory.copy` …) end exactly where the guest does.

import { VitrineError } from '../base/error.ts';

export const WASM_PAGE_BYTES = 65_536;
/** Of a memory with 32-bit addresses. */
export const MAX_WASM_PAGES = 65_536;
const MIN_PAGE_BYTES = 256;
/** Granules a page. The longest store, 16 bytes, fits into a granule of the smallest page. */
export const GRANULES = 16;
/** Kept free at the very end: the size of a shared memory's guest. */
const SPARE_BYTES = 8;

export interface MapLayout {
  readonly kind: 'marks' | 'barriers';
  /** A page of the guest, in bytes, and as a power of two. */
  readonly pageBytes: number;
  readonly pageShift: number;
  /** Bytes a byte of the map stands for, as a power of two. */
  readonly granuleShift: number;
  /** Pages of 64 KiB behind the guest's memory: guard and map. */
  readonly extraPages: number;
  /** Bytes from the map's base to the end of memory. */
  readonly mapBytes: number;
  /** The most that the guest's memory may come to, in pages of 64 KiB. */
  readonly maxPages: number;
  /** Pages that the program stores to at constant addresses: they always count as written, and no store checks them. */
  readonly alwaysPages: readonly number[];
  /** A memory that has its full size from the start; the guest's size is in a word of it, less `minimumPages`. */
  readonly fixed: { readonly minimumPages: number; readonly sizeAddress: number } | undefined;
}

export interface MapLayoutOptions {
  readonly kind: MapLayout['kind'];
  readonly pageBytes: number;
  /** The most that the guest's memory may come to, in pages of 64 KiB. */
  readonly maxPages: number;
  /** Given for a memory that has its full size from the start. */
  readonly fixedMinimumPages?: number;
}

/** The layout for a memory. Throws `argument-invalid`. */
export function mapLayoutOf({ kind, pageBytes, maxPages, fixedMinimumPages }: MapLayoutOptions): MapLayout {
  const pageShift = Math.log2(pageBytes);
  if (!Number.isInteger(pageShift) || pageBytes < MIN_PAGE_BYTES || pageBytes > WASM_PAGE_BYTES) {
    throw new VitrineError('argument-invalid', {
      name: 'pageBytes',
      value: pageBytes,
      required: `a power of two from ${MIN_PAGE_BYTES} to ${WASM_PAGE_BYTES}`,
    });
  }
  const granuleShift = pageShift - Math.log2(GRANULES);
  const perWasmPage = WASM_PAGE_BYTES >> granuleShift;
  // A byte for each granule of all this, and one more: a touch may run one granule ahead.
  const fits = (extraPages: number): boolean =>
    extraPages * WASM_PAGE_BYTES - pageBytes >= (maxPages + extraPages) * perWasmPage + 1 + SPARE_BYTES;
  let extraPages = Math.max(1, Math.floor((maxPages * perWasmPage) / WASM_PAGE_BYTES));
  while (!fits(extraPages)) extraPages++;
  const sizeAddress = (maxPages + extraPages) * WASM_PAGE_BYTES - SPARE_BYTES;
  return {
    kind,
    pageBytes,
    pageShift,
    granuleShift,
    extraPages,
    mapBytes: extraPages * WASM_PAGE_BYTES - pageBytes,
    maxPages,
    alwaysPages: [],
    fixed: fixedMinimumPages === undefined ? undefined : { minimumPages: fixedMinimumPages, sizeAddress },
  };
}

/** The guest's part of the memory's buffer, in bytes. */
export function guestBytesOf(buffer: ArrayBufferLike, { fixed, extraPages }: MapLayout): number {
  if (fixed === undefined) return buffer.byteLength - extraPages * WASM_PAGE_BYTES;
  const grown = Atomics.load(new Int32Array(buffer, fixed.sizeAddress, 1), 0);
  return (fixed.minimumPages + grown) * WASM_PAGE_BYTES;
}

/**
 * Which of the guest's pages were written as far as the map tells: a new array of bytes that are 0 or 1. Of a memory that
 * has its full size from the start, all that the guest's may come to: nothing traps there, whatever the guest's size is.
 */
export function marksIn(buffer: ArrayBufferLike, layout: MapLayout): Uint8Array<ArrayBuffer> {
  const pageCount = endOfGuest(buffer, layout) / layout.pageBytes;
  // One page more: the guard's first granule tells of the last page too.
  const map = new Uint8Array(buffer, baseOf(buffer, layout), (pageCount + 1) * GRANULES);
  const marks = new Uint8Array(pageCount);
  if (layout.kind === 'barriers') {
    for (let page = 0; page < pageCount; page++) marks[page] = 1 - map[page * GRANULES + 1]!;
  } else readTouched(map, marks);
  for (const page of layout.alwaysPages) if (page < pageCount) marks[page] = 1;
  return marks;
}

/** Whether `marksIn` has a page, which is the guest's. */
export function isMarked(buffer: ArrayBufferLike, layout: MapLayout, page: number): boolean {
  if (layout.alwaysPages.includes(page) || isTouched(buffer, layout, page)) return true;
  if (layout.kind === 'barriers') return false;
  const map = new Uint8Array(buffer, baseOf(buffer, layout) + page * GRANULES, GRANULES + 1);
  return map.some((granule) => granule !== 0);
}

/** Whether something was written where the map lies: then any mark may have been lost. Not before the first clearing. */
export function isDamaged(buffer: ArrayBufferLike, layout: MapLayout): boolean {
  const untouched = untouchedByte(layout);
  // The guard's own page is touched by groups of stores that end past the guest's end.
  const first = (endOfGuest(buffer, layout) + layout.pageBytes) >>> layout.granuleShift;
  const map = new Uint8Array(buffer, baseOf(buffer, layout), usedBytes(buffer, layout));
  for (let granule = first; granule < map.length; granule++) {
    if (map[granule] !== untouched) return true;
  }
  return false;
}

/** Forgets all marks. In a map of barriers each page's next store calls again. */
export function clearMarks(buffer: ArrayBufferLike, layout: MapLayout): void {
  const map = new Uint8Array(buffer, baseOf(buffer, layout), usedBytes(buffer, layout));
  map.fill(untouchedByte(layout));
  if (layout.kind !== 'barriers') return;
  for (const page of layout.alwaysPages) map.fill(0, page * GRANULES + 1, (page + 1) * GRANULES);
}

/** Whether a page was touched, and not by a store that ends in the page after it. */
export function isTouched(buffer: ArrayBufferLike, layout: MapLayout, page: number): boolean {
  const at = baseOf(buffer, layout) + page * GRANULES + 1;
  return new Uint8Array(buffer, at, 1)[0] !== untouchedByte(layout);
}

/** Touches a page from outside, as a store in the middle of it does. A barrier is not told. */
export function touchPage(buffer: ArrayBufferLike, layout: MapLayout, page: number): void {
  const at = baseOf(buffer, layout) + page * GRANULES + 1;
  new Uint8Array(buffer, at, GRANULES - 1).fill(layout.kind === 'barriers' ? 0 : 1);
}

function untouchedByte({ kind }: MapLayout): number {
  return kind === 'barriers' ? 1 : 0;
}

/** Where the guest's memory can no more be: its present end, or what it may come to. */
function endOfGuest(buffer: ArrayBufferLike, { fixed, extraPages, maxPages }: MapLayout): number {
  return fixed === undefined ? buffer.byteLength - extraPages * WASM_PAGE_BYTES : maxPages * WASM_PAGE_BYTES;
}

function baseOf(buffer: ArrayBufferLike, { mapBytes }: MapLayout): number {
  return buffer.byteLength - mapBytes;
}

/** Bytes of the map that something in this memory can touch. */
function usedBytes(buffer: ArrayBufferLike, { granuleShift }: MapLayout): number {
  return Math.floor(buffer.byteLength / 2 ** granuleShift);
}

/** Four words a page, and the first byte of the page after it. */
function readTouched(map: Uint8Array, marks: Uint8Array): void {
  const words = new Uint32Array(map.buffer, map.byteOffset, map.length >> 2);
  for (let page = 0, word = 0; page < marks.length; page++, word += 4) {
    if ((words[word]! | words[word + 1]! | words[word + 2]! | words[word + 3]!) !== 0) marks[page] = 1;
    if (map[(page + 1) * GRANULES] !== 0) marks[page] = 1;
  }
}

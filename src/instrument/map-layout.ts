// Where the map of written pages lies: in pages of 64 KiB of its own behind the guest's memory, one byte a guest page.
//
//   | guest memory, as large as it is now | guard, one guest page | map … | end of memory
//                                         ^ guest end             ^ map base = guest end + pageBytes
//
// `memory.size` and `memory.grow` answer as if those pages were not there, and growth moves the map to the new end, so
// no allocator takes them for its own. Tried in thought and dropped: a second memory (exact, but neither Node 20 nor
// Safari has several memories); the guest's addresses shifted up by static offsets (exact too, but the host's own
// reads would all be off); a place fixed at the end of the maximum (the host would see all of it as memory in use);
// a block of the guest's own allocator (its heap is then another one than without marks).
//
// The price: an access at most those pages past the guest's end does not trap. A stray store there marks the page it
// hits, and the map covers itself: whoever reads it sees that it cannot be trusted (`isDamaged`) and takes all pages as
// written. The guard is for marks that run one page ahead of their store.

import { VitrineError } from '../base/error.ts';

export const WASM_PAGE_BYTES = 65_536;
/** Of a memory with 32-bit addresses. */
export const MAX_WASM_PAGES = 65_536;
const MIN_PAGE_BYTES = 256;

export interface MapLayout {
  /** Bytes a byte of the map stands for, as a power of two. */
  readonly pageBytes: number;
  readonly shift: number;
  /** Pages of 64 KiB behind the guest's memory: guard and map. */
  readonly extraPages: number;
  /** Bytes from the map's base to the end of memory. */
  readonly mapBytes: number;
  /** The most that the guest's memory may come to, in pages of 64 KiB. */
  readonly maxPages: number;
}

/** The layout for a memory of at most `maxPages`. Throws `argument-invalid`. */
export function mapLayoutOf(maxPages: number, pageBytes: number): MapLayout {
  const shift = Math.log2(pageBytes);
  if (!Number.isInteger(shift) || pageBytes < MIN_PAGE_BYTES || pageBytes > WASM_PAGE_BYTES) {
    throw new VitrineError('argument-invalid', {
      name: 'pageBytes',
      value: pageBytes,
      required: `a power of two from ${MIN_PAGE_BYTES} to ${WASM_PAGE_BYTES}`,
    });
  }
  const perWasmPage = WASM_PAGE_BYTES / pageBytes;
  let extraPages = 1;
  // One entry more than there are pages: a mark may run one page ahead of the last.
  while (extraPages * WASM_PAGE_BYTES - pageBytes < (maxPages + extraPages) * perWasmPage + 1) extraPages++;
  return {
    pageBytes,
    shift,
    extraPages,
    mapBytes: extraPages * WASM_PAGE_BYTES - pageBytes,
    maxPages,
  };
}

/** The guest's part of the memory's buffer, in bytes. */
export function guestBytesOf(buffer: ArrayBufferLike, layout: MapLayout): number {
  return buffer.byteLength - layout.extraPages * WASM_PAGE_BYTES;
}

/** The marks of the guest's pages as they are now: bytes that are 0 or 1. Valid until the memory grows. */
export function marksIn(buffer: ArrayBufferLike, layout: MapLayout): Uint8Array {
  const guestBytes = guestBytesOf(buffer, layout);
  return new Uint8Array(buffer, guestBytes + layout.pageBytes, guestBytes / layout.pageBytes);
}

/** Whether something was written where the map lies: then any mark may have been lost. */
export function isDamaged(buffer: ArrayBufferLike, layout: MapLayout): boolean {
  const pages = guestBytesOf(buffer, layout) / layout.pageBytes;
  const map = new Uint8Array(buffer, buffer.byteLength - layout.mapBytes, layout.mapBytes);
  for (let page = pages + 1; page < map.length; page++) if (map[page] !== 0) return true;
  return false;
}

/** Forgets all marks. */
export function clearMarks(buffer: ArrayBufferLike, layout: MapLayout): void {
  new Uint8Array(buffer, buffer.byteLength - layout.mapBytes, layout.mapBytes).fill(0);
}

// What threads share while they compare a machine's RAM with its mirror. The mirror itself is such memory; beside it lie:
//
//   control    cursor: the next chunk to be looked at | threads: how many have come to this scan, which gives each its room
//   differing  a bit a page of the segment: RAM and mirror differed there
//   touched    a byte a chunk, the mirror's own: 0 while it holds zeros alone there
//   room       in the mirror's memory, a piece a thread: kernel scratch, then staging, bits and list
//
// One writer a word: a chunk belongs to the thread that took it from the cursor, and is whole words of the bitmap and whole
// chunks of the mirror. The main thread reads, and writes the mirror, when all threads have answered; messages order memory. Only
// `control` is used with Atomics.

import type { Address } from '../../kernel/kernels.ts';
import { CHUNK_BYTES, chunkPagesOf, type Segment } from '../../tracking/mirror-segment.ts';
import { PAGE_BYTES } from './scan-memory.ts';

export const CURSOR = 0;
export const THREADS = 1;
const CONTROL_WORDS = 2;

export const CHUNK_PAGES = CHUNK_BYTES / PAGE_BYTES;
/** 4 KiB for the kernels, 256 KiB of staging, bits, list: rounded up. */
export const ROOM_BYTES = CHUNK_BYTES + 65_536;

/** A segment of a mirror, and what threads need to compare it; it is sent to them as it is. */
export interface MirrorMemory {
  readonly memory: WebAssembly.Memory;
  readonly at: Address;
  readonly pageCount: number;
  /** Where its first page lies in the RAM file. */
  readonly fileOffsetBytes: number;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly differing: Uint32Array<SharedArrayBuffer>;
  readonly touched: Uint8Array;
  /** Room for so many threads, one after another. */
  readonly room: Address;
}

/** For `threads` threads. Throws `memory-exhausted`. */
export function openMirrorMemory(segment: Segment, fileOffsetBytes: number, threads: number): MirrorMemory {
  const { kernels, region, pageCount, at, touched } = segment;
  const words = Math.ceil(pageCount / chunkPagesOf(region)) * (CHUNK_PAGES / 32);
  return {
    // Safe: a mirror in shared memory stands on WebAssembly's.
    memory: kernels.arena.memory as WebAssembly.Memory,
    at,
    pageCount,
    fileOffsetBytes,
    control: new Int32Array(new SharedArrayBuffer(4 * CONTROL_WORDS)),
    differing: new Uint32Array(new SharedArrayBuffer(4 * words)),
    touched,
    room: kernels.arena.allocate(threads * ROOM_BYTES, 65_536),
  };
}

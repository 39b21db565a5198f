// A thread's part of comparing a machine's RAM with its mirror, which lies in memory that it shares: chunk after chunk is read
// beside the mirror, stays in a core's cache, and is compared there.

import { closeSync } from 'node:fs';
import type { Address, Kernels } from '../../kernel/kernels.ts';
import { loadKernels } from '../../kernel/load.ts';
import { SCRATCH_BYTES } from '../../kernel/wasm.ts';
import { CHUNK_BYTES } from '../../tracking/mirror-segment.ts';
import { CHUNK_PAGES, CURSOR, type MirrorMemory, ROOM_BYTES, THREADS } from './mirror-memory.ts';
import { openRam, readFully } from './read-ram.ts';
import { PAGE_BYTES } from './scan-memory.ts';

export interface CompareTask {
  readonly kind: 'compare';
  /** The RAM, as a file. */
  readonly path: string;
  readonly mirror: MirrorMemory;
  /** Whether pages that differ are copied into the mirror, or only told. */
  readonly takes: boolean;
}

interface WorkArea {
  readonly kernels: Kernels;
  readonly staging: Address;
  readonly bits: Address;
  readonly list: Address;
}

/** Looks at chunks until none is left. Throws `guest-failed` when the file cannot be read or became shorter. */
export async function compareChunks({ path, mirror, takes }: CompareTask): Promise<undefined> {
  const work = await openWorkArea(mirror);
  const file = openRam(path);
  try {
    const chunkCount = Math.ceil(mirror.pageCount / CHUNK_PAGES);
    for (;;) {
      const chunk = Atomics.add(mirror.control, CURSOR, 1);
      if (chunk >= chunkCount) return;
      const first = chunk * CHUNK_PAGES;
      const count = Math.min(CHUNK_PAGES, mirror.pageCount - first);
      const bytes = work.kernels.arena.bytes(work.staging, count * PAGE_BYTES);
      readFully(file, path, bytes, mirror.fileOffsetBytes + first * PAGE_BYTES);
      compareChunk(mirror, work, chunk, count, takes);
    }
  } finally {
    closeSync(file);
  }
}

/** Kernels in the mirror's memory, in this thread's piece of the room. They are made anew each time, which takes no time. */
async function openWorkArea({ memory, room, control }: MirrorMemory): Promise<WorkArea> {
  const at = room + Atomics.add(control, THREADS, 1) * ROOM_BYTES;
  const kernels = await loadKernels({ shared: true, within: { memory, at } });
  const staging = at + SCRATCH_BYTES;
  const bits = staging + CHUNK_BYTES;
  return { kernels, staging, bits, list: bits + CHUNK_PAGES };
}

function compareChunk(
  mirror: MirrorMemory,
  { kernels, staging, bits, list }: WorkArea,
  chunk: number,
  count: number,
  takes: boolean,
): void {
  const { differing, touched } = mirror;
  const first = chunk * CHUNK_PAGES;
  const at = mirror.at + first * PAGE_BYTES;
  const found =
    touched[chunk] === 0
      ? findNonZero(kernels, staging, count, bits)
      : kernels.comparePages(staging, at, PAGE_BYTES, count, bits);
  if (found === 0) return;
  // First the bits: whoever ends this thread before the copies finds pages too many and not one too few.
  const bytes = kernels.arena.bytes(bits, CHUNK_PAGES / 8);
  // What the kernel did not write is of an earlier chunk.
  bytes.fill(0, Math.ceil(count / 8));
  const words = kernels.arena.words(bits, CHUNK_PAGES / 32);
  for (const [index, word] of words.entries()) differing[first / 32 + index]! |= word;
  if (!takes) return;
  touched[chunk] = 1;
  kernels.listBits(bits, count, list);
  takePages(kernels, staging, at, list, found);
}

/**
 * As `comparePages` with a mirror that holds zeros alone, without reading it: memory that was never written is given room when it is
 * read, and given other room when it is written, which took as long as all else that a first look does.
 */
function findNonZero(kernels: Kernels, staging: Address, count: number, bits: Address): number {
  const zeros = kernels.zeroPages(staging, PAGE_BYTES, count, bits);
  const bytes = kernels.arena.bytes(bits, Math.ceil(count / 8));
  for (let index = 0; index < bytes.length; index++)
    bytes[index]! ^= 255 >> Math.max(0, 8 * (index + 1) - count);
  return count - zeros;
}

/** Copies listed pages to the same places of the mirror, runs of neighbours at once. */
function takePages(kernels: Kernels, staging: Address, at: Address, list: Address, count: number): void {
  const pages = kernels.arena.words(list, count);
  for (let from = 0; from < count; ) {
    let end = from + 1;
    while (end < count && pages[end] === pages[from]! + end - from) end++;
    const out = at + pages[from]! * PAGE_BYTES;
    kernels.gatherPages(staging, list + 4 * from, PAGE_BYTES, end - from, out);
    from = end;
  }
}

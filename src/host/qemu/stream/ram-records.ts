// The RAM section: a list of blocks, then pages. A record is a u64, the page's offset in its block with flags in the low
// twelve bits.
//
//   block list  total bytes | 0x04, then per block: u8 n, name[n], u64 used bytes, with x-ignore-shared u64 guest address
//   page        offset | 0x08 [| 0x20], [u8 n, name[n]], 4,096 bytes
//   zero page   offset | 0x02 [| 0x20], [u8 n, name[n]], u8 fill: since 8.2 always 0
//   end         0x10: of this part of the section
//
// What other flags announce is refused by the name of the capability that would have to be off.

import type { ByteQueue } from './byte-queue.ts';
import type { PageListener, RamBlock } from './stream.ts';
import { PAGE_BYTES, RAM, RAM_SECTION, STREAM_LIMITS } from './wire.ts';

/** A reader that waits for bytes by yielding. */
export type Reading<T> = Generator<void, T, void>;

/** Waits until so many bytes are here. */
export function* until(queue: ByteQueue, lengthBytes: number): Reading<void> {
  while (!queue.has(lengthBytes)) yield;
}

/** A name behind its length of one byte. */
export function* readName(queue: ByteQueue): Reading<string> {
  yield* until(queue, 1);
  const lengthBytes = queue.u8();
  if (lengthBytes === 0) queue.refuse('format-range', { field: 'name', lengthBytes });
  yield* until(queue, lengthBytes);
  return queue.name(lengthBytes);
}

const FEATURES = [
  { flag: RAM.xbzrle, feature: 'xbzrle' },
  { flag: RAM.hook, feature: 'rdma' },
  { flag: RAM.compress, feature: 'compress' },
  { flag: RAM.multifdFlush, feature: 'multifd' },
] as const;
const PAGE_FLAGS = [
  RAM.zero,
  RAM.zero | RAM.sameBlock,
  RAM.page,
  RAM.page | RAM.sameBlock,
] as readonly number[];

export class RamRecords {
  readonly blocks: RamBlock[] = [];
  pageCount = 0;
  readonly #withAddresses: boolean;
  readonly #onPage: PageListener;
  readonly #onBlocks: (blocks: readonly RamBlock[]) => void;
  readonly #indexOf = new Map<string, number>();
  /** The block of the page before, across parts of the section. */
  #lastBlock = -1;

  constructor(options: {
    readonly withAddresses: boolean;
    readonly onPage: PageListener;
    readonly onBlocks: (blocks: readonly RamBlock[]) => void;
  }) {
    this.#withAddresses = options.withAddresses;
    this.#onPage = options.onPage;
    this.#onBlocks = options.onBlocks;
  }

  /** Reads the records of one part of the section, up to its footer. */
  *read(queue: ByteQueue): Reading<void> {
    for (;;) {
      if (queue.available < 8) yield* until(queue, 8);
      const record = queue.u64();
      const flags = record % PAGE_BYTES;
      const offset = record - flags;
      if (PAGE_FLAGS.includes(flags)) yield* this.#readPage(queue, offset, flags);
      else if (flags === RAM.eos) {
        if (offset !== 0) queue.refuse('format-range', { field: 'end of records', value: offset });
        return;
      } else if (flags === RAM.blockList) yield* this.#readBlocks(queue, offset);
      else this.#refuseFlags(queue, flags);
    }
  }

  *#readPage(queue: ByteQueue, offset: number, flags: number): Reading<void> {
    if ((flags & RAM.sameBlock) === 0) {
      const name = yield* readName(queue);
      const index = this.#indexOf.get(name);
      if (index === undefined) queue.refuse('format-range', { field: 'block of a page', name });
      this.#lastBlock = index!;
    }
    const block = this.blocks[this.#lastBlock];
    if (block === undefined) return queue.refuse('format-range', { field: 'page without a block' });
    if (offset + PAGE_BYTES > block.usedBytes) {
      queue.refuse('format-range', { field: 'page offset', name: block.name, pageOffset: offset });
    }
    const lengthBytes = (flags & RAM.zero) === 0 ? PAGE_BYTES : 1;
    if (queue.available < lengthBytes) yield* until(queue, lengthBytes);
    this.pageCount++;
    this.#onPage(this.#lastBlock, offset, lengthBytes === 1 ? queue.u8() : queue.page(PAGE_BYTES));
  }

  *#readBlocks(queue: ByteQueue, totalBytes: number): Reading<void> {
    if (this.blocks.length > 0) queue.refuse('format-range', { field: 'second list of blocks' });
    let leftBytes = totalBytes;
    while (leftBytes > 0) {
      if (this.blocks.length === STREAM_LIMITS.maxBlocks) {
        queue.refuse('format-limit', { field: 'blocks', maxBlocks: STREAM_LIMITS.maxBlocks });
      }
      const name = yield* readName(queue);
      yield* until(queue, this.#withAddresses ? 16 : 8);
      const usedBytes = queue.u64();
      const gpa = this.#withAddresses ? queue.u64() : undefined;
      if (usedBytes % PAGE_BYTES !== 0 || usedBytes > leftBytes || this.#indexOf.has(name)) {
        queue.refuse('format-range', { field: 'block', name, usedBytes, leftBytes });
      }
      leftBytes -= usedBytes;
      this.#indexOf.set(name, this.blocks.length);
      this.blocks.push(gpa === undefined ? { name, usedBytes } : { name, usedBytes, gpa });
    }
    this.#onBlocks(this.blocks);
  }

  #refuseFlags(queue: ByteQueue, flags: number): never {
    const found = FEATURES.find(({ flag }) => (flags & flag) !== 0);
    if (found !== undefined) return queue.refuse('stream-feature', { feature: found.feature });
    return queue.refuse('format-tag', { field: `flags of a ${RAM_SECTION.name} record`, flags });
  }
}

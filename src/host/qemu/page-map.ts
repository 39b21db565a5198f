// What Linux tells of a process's pages in `/proc/PID/pagemap`: 64 bits a page, without any privilege.
//
//   63 it is in memory   62 it is swapped out, or on its way   61 it is a file's, or shared
//   56 nobody else has it mapped   55 it was written since the bits were cleared (`soft-dirty.ts`)
//
// In a private mapping of a file a page is the file's until it is written. So what has one of the first two bits and not the
// third was written at some time since the mapping was made: all that differs from the file is among it, and it never grows
// smaller, whatever the kernel was built with. Written are pages by guests, with KVM or without, by devices, and by whoever
// writes to `/proc/PID/mem`.

import { closeSync, openSync, readSync } from 'node:fs';
import { VitrineError } from '../../base/error.ts';
import { PageSet } from '../../memory/page-set.ts';

const PAGE_BYTES = 4096;
const ENTRY_BYTES = 8;
const CHUNK_ENTRIES = 32_768;
/** Entries of pages that are not there at all, most of a machine's: a block of them is one comparison. */
const NONE_THERE = new Uint8Array(4096);
const BLOCK_ENTRIES = NONE_THERE.length / ENTRY_BYTES;
/** Of an entry's upper half. */
const IS_THERE = 0xc000_0000;
const IS_PRESENT = 0x8000_0000;
const IS_OF_FILE = 0x2000_0000;
const IS_EXCLUSIVE = 0x0100_0000;
const IS_SOFT_DIRTY = 0x0080_0000;

/** What a mapping is: one that writes go to a file from, or one that keeps them for itself. */
export type MappingKind = 'shared' | 'private';

/** Of a range, since its soft-dirty bits were cleared. */
export interface PageStates {
  /** Pages that were written; of a shared mapping also those that another process has mapped, too. */
  readonly written: PageSet;
  /** Pages that the process's page table has: what was among them and is no more was taken out, and its bit with it. */
  readonly held: PageSet;
}

export class PageMap {
  readonly #descriptor: number;
  readonly #pid: number;
  readonly #chunk = new Uint32Array((CHUNK_ENTRIES * ENTRY_BYTES) / 4);

  /** Throws what the file system throws where the process may not be looked into. */
  constructor(pid: number) {
    this.#pid = pid;
    this.#descriptor = openSync(`/proc/${pid}/pagemap`, 'r');
  }

  /** Pages of `lengthBytes` from `address` that are the process's own. Throws `guest-lost` when the process is gone. */
  ownPages(address: number, lengthBytes: number): PageSet {
    const own = new PageSet(Math.ceil(lengthBytes / PAGE_BYTES));
    this.#each(address, own.pageCount, (page, upper) => {
      if ((upper & IS_THERE) !== 0 && (upper & IS_OF_FILE) === 0) own.add(page);
    });
    return own;
  }

  /** As far as soft-dirty bits tell, of a range in mappings of one kind. Throws `guest-lost`. */
  states(address: number, lengthBytes: number, kind: MappingKind): PageStates {
    const pageCount = Math.ceil(lengthBytes / PAGE_BYTES);
    const written = new PageSet(pageCount);
    const held = new PageSet(pageCount);
    const isShared = kind === 'shared';
    this.#each(address, pageCount, (page, upper) => {
      if ((upper & IS_SOFT_DIRTY) !== 0) written.add(page);
      if ((upper & IS_THERE) === 0) return;
      if (isShared) {
        held.add(page);
        // One that is being moved in memory says nothing of others.
        if ((upper & IS_PRESENT) === 0 || (upper & IS_EXCLUSIVE) === 0) written.add(page);
      } else if ((upper & IS_OF_FILE) === 0) held.add(page);
    });
    return { written, held };
  }

  /** Whether the bit of the page at `address` is on, whoever else has it mapped. Throws `guest-lost`. */
  isSoftDirty(address: number): boolean {
    let isDirty = false;
    this.#each(address, 1, (_, upper) => {
      isDirty = (upper & IS_SOFT_DIRTY) !== 0;
    });
    return isDirty;
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #each(address: number, pageCount: number, see: (page: number, upper: number) => void): void {
    const bytes = new Uint8Array(this.#chunk.buffer);
    for (let done = 0; done < pageCount; ) {
      const wanted = Math.min(CHUNK_ENTRIES, pageCount - done);
      const at = (address / PAGE_BYTES + done) * ENTRY_BYTES;
      const count = Math.floor(this.#read(bytes.subarray(0, wanted * ENTRY_BYTES), at) / ENTRY_BYTES);
      if (count === 0) throw new VitrineError('guest-lost', { reason: 'its memory is gone', pid: this.#pid });
      for (let from = 0; from < count; from += BLOCK_ENTRIES) {
        const to = Math.min(from + BLOCK_ENTRIES, count);
        const block = bytes.subarray(from * ENTRY_BYTES, to * ENTRY_BYTES);
        if (Buffer.compare(block, NONE_THERE.subarray(0, block.length)) === 0) continue;
        for (let index = from; index < to; index++) {
          const upper = this.#chunk[2 * index + 1]!;
          if (upper !== 0) see(done + index, upper);
        }
      }
      done += count;
    }
  }

  #read(into: Uint8Array, position: number): number {
    try {
      return readSync(this.#descriptor, into, 0, into.length, position);
    } catch (cause) {
      throw new VitrineError('guest-lost', { reason: 'its memory is gone', pid: this.#pid }, { cause });
    }
  }
}

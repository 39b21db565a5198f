// The memory of a write barrier: which pages of one region are awaited, and a ring of old pages that wait for whoever saves
// them. It lies in the guest's own memory, where compiled code reaches it, or in a buffer beside it; all is little-endian.
//
//   | Offset | Size           | Field                                                                     |
//   |--------|----------------|---------------------------------------------------------------------------|
//   | 0      | 4              | written: old pages ever put into the ring                                 |
//   | 4      | 4              | read: old pages ever taken out of it                                      |
//   | 8      | 4              | slot count, 0 for no ring                                                 |
//   | 12     | 4              | page count                                                                |
//   | 16     | 4              | address of the page numbers                                               |
//   | 20     | 4              | address of the slots                                                      |
//   | 24     | 8              | zeros                                                                     |
//   | 32     | page count     | states, a byte a page: 1 awaited, 0 free to be written                    |
//   | …      | 4 × slot count | page numbers, from a multiple of 4: what lies in slot `i`                 |
//   | …      | page × slots   | old pages, from a multiple of 64: number `n` of the ring lies in `n % slots` |
//
// Addresses count from the start of the memory, not of the block, so that code which holds one pointer finds all.
//
// Who may do what, also when guest and saver are two threads over shared memory:
//   - A state goes from 1 to 0 once, by compare-exchange. Who makes that step has the page: the guest then copies it aside
//     and writes; the saver has copied it before, and its copy counts. Who loses drops his copy.
//   - `written` is stored by the guest alone, after slot and number; `read` by the saver alone, after it copied the slot out.
//     Both with sequential consistency, so a reader of one counter sees the bytes that were written before it moved.
//   - Pages are read and written plainly. The saver reads a page before its exchange; the guest writes it after its own, or
//     after it saw the state at 0, on which that write depends. So of a page that the saver won it has read no later write,
//     and what it read of one that it lost it drops.

import { assert } from '../base/assert.ts';
import type { PageSet } from './page-set.ts';
import { isShared } from './shared-memory.ts';

export const BARRIER_BLOCK = {
  written: 0,
  read: 4,
  slotCount: 8,
  pageCount: 12,
  numbers: 16,
  slots: 20,
  states: 32,
} as const;

/** What a page's state byte says. */
export const PAGE_STATE = { free: 0, awaited: 1 } as const;

/** Takes what an awaited page held. The bytes are valid during the call only. It neither throws nor calls the guest. */
export type OldPageSink = (page: number, bytes: Uint8Array) => void;

export interface BarrierShape {
  readonly pageCount: number;
  readonly pageBytes: number;
  readonly slotCount: number;
}

/** Bytes that a block of that shape takes, its start being a multiple of 8. */
export function barrierBlockBytes(shape: BarrierShape): number {
  const { slots } = placesOf(0, shape);
  return slots + shape.slotCount * shape.pageBytes + 64;
}

/** How many old pages fit into a ring of so many bytes; never more than there are pages. */
export function slotsIn(ringBytes: number, pageBytes: number, pageCount: number): number {
  return Math.min(Math.floor(ringBytes / pageBytes), pageCount);
}

/** Where a block lies, for a saver in another thread. */
export interface BarrierPlace {
  readonly buffer: SharedArrayBuffer;
  readonly at: number;
  readonly shape: BarrierShape;
}

/** One block, seen from JavaScript. */
export class BarrierBlock {
  readonly #memory: { readonly buffer: ArrayBufferLike };
  readonly #at: number;
  readonly #shape: BarrierShape;
  #buffer: ArrayBufferLike | undefined;
  #counters: Int32Array = new Int32Array(0);
  #states: Uint8Array = new Uint8Array(0);
  #numbers: Uint32Array = new Uint32Array(0);
  #slots: Uint8Array = new Uint8Array(0);
  #peak = 0;

  /** Writes the header; nothing is awaited and the ring is empty. `memory` may grow later. */
  constructor(
    memory: { readonly buffer: ArrayBufferLike },
    at: number,
    shape: BarrierShape,
    { isThere = false } = {},
  ) {
    assert(at % 8 === 0, 'a block starts at a multiple of 8');
    this.#memory = memory;
    this.#at = at;
    this.#shape = shape;
    this.#look();
    if (isThere) return;
    this.#states.fill(PAGE_STATE.free);
    const { numbers, slots } = placesOf(at, shape);
    this.#counters.set([0, 0, shape.slotCount, shape.pageCount, numbers, slots]);
  }

  /** The most pages that the ring held when it was looked at: exact where guest and saver share a thread. */
  get peakPages(): number {
    return Math.max(this.#peak, this.#filled());
  }

  /** Old pages ever put into the ring. */
  get written(): number {
    this.#look();
    return Atomics.load(this.#counters, 0) >>> 0;
  }

  /** A block that another thread made. */
  static attach({ buffer, at, shape }: BarrierPlace): BarrierBlock {
    return new BarrierBlock({ buffer }, at, shape, { isThere: true });
  }

  /** Where it lies for other threads; undefined in memory of this thread alone. */
  get place(): BarrierPlace | undefined {
    const { buffer } = this.#memory;
    return isShared(buffer) ? { buffer, at: this.#at, shape: this.#shape } : undefined;
  }

  get ringBytes(): number {
    return this.#shape.slotCount * this.#shape.pageBytes;
  }

  /** Makes these pages awaited and no others. */
  await(pages: PageSet): void {
    this.#look();
    const { words, pageCount } = pages;
    const states = this.#states;
    states.fill(PAGE_STATE.free);
    for (let i = 0; i < words.length; i++) {
      let word = words[i]!;
      if (word === 0) continue;
      if (word === 0xffff_ffff) {
        // Many whole words in a row are the usual case when much was written, and this is in the pause.
        const first = i;
        while (i + 1 < words.length && words[i + 1] === 0xffff_ffff) i++;
        states.fill(PAGE_STATE.awaited, first * 32, Math.min((i + 1) * 32, pageCount));
        continue;
      }
      for (; word !== 0; word &= word - 1)
        states[i * 32 + 31 - Math.clz32(word & -word)] = PAGE_STATE.awaited;
    }
  }

  isAwaited(page: number): boolean {
    this.#look();
    return this.#states[page] === PAGE_STATE.awaited;
  }

  /** Makes an awaited page free. True for the one who did it; false when it was free already. */
  claim(page: number): boolean {
    this.#look();
    return (
      Atomics.compareExchange(this.#states, page, PAGE_STATE.awaited, PAGE_STATE.free) === PAGE_STATE.awaited
    );
  }

  /** The guest's side, where it is JavaScript: puts a claimed page into the ring. False when that is full. */
  put(page: number, bytes: Uint8Array): boolean {
    this.#look();
    const { slotCount, pageBytes } = this.#shape;
    if (this.#filled() >= slotCount) return false;
    const written = this.#counters[0]! >>> 0;
    const slot = written % slotCount;
    this.#slots.set(bytes, slot * pageBytes);
    if (bytes.length < pageBytes)
      this.#slots.fill(0, slot * pageBytes + bytes.length, (slot + 1) * pageBytes);
    this.#numbers[slot] = page;
    Atomics.store(this.#counters, 0, (written + 1) | 0);
    return true;
  }

  /** The saver's side: hands at most `maxPages` old pages to `sink`, the oldest first. Returns how many. */
  drain(maxPages: number, sink: OldPageSink): number {
    this.#look();
    const { slotCount, pageBytes } = this.#shape;
    const filled = this.#filled();
    this.#peak = Math.max(this.#peak, filled);
    const count = Math.min(filled, maxPages);
    for (let i = 0; i < count; i++) {
      const read = this.#counters[1]! >>> 0;
      const slot = read % slotCount;
      sink(this.#numbers[slot]!, this.#slots.subarray(slot * pageBytes, (slot + 1) * pageBytes));
      Atomics.store(this.#counters, 1, (read + 1) | 0);
    }
    return count;
  }

  /** Nothing is awaited any more. */
  disarm(): void {
    this.#look();
    this.#states.fill(PAGE_STATE.free);
  }

  #filled(): number {
    this.#look();
    return (Atomics.load(this.#counters, 0) - Atomics.load(this.#counters, 1)) | 0;
  }

  /** Memory that grew left the old views empty. */
  #look(): void {
    const { buffer } = this.#memory;
    if (buffer === this.#buffer) return;
    const { pageCount, slotCount, pageBytes } = this.#shape;
    const { numbers, slots } = placesOf(this.#at, this.#shape);
    this.#counters = new Int32Array(buffer, this.#at, BARRIER_BLOCK.states / 4);
    this.#states = new Uint8Array(buffer, this.#at + BARRIER_BLOCK.states, pageCount);
    this.#numbers = new Uint32Array(buffer, numbers, slotCount);
    this.#slots = new Uint8Array(buffer, slots, slotCount * pageBytes);
    this.#buffer = buffer;
  }
}

function placesOf(at: number, { pageCount, slotCount }: BarrierShape) {
  const numbers = align(at + BARRIER_BLOCK.states + pageCount, 4);
  return { numbers, slots: align(numbers + 4 * slotCount, 64) };
}

function align(address: number, to: number): number {
  return Math.ceil(address / to) * to;
}

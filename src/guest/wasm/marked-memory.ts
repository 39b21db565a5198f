// The memory of an instrumented instance: without the map behind it, and growing so that the map moves along. The
// map's marks go over into `DirtyMarks`, beside those of what the host wrote.
//
// A mark is made before its store, so it is there also after a call that ended by throwing. After a store where the map
// lies, every page counts as written.
//
// A shared memory has its full size from the start, with the map behind it where it never moves: all of the region lies
// in the buffer, zeros past the program's present size, and growth changes a number that the program alone hears of.

import {
  armBarrier,
  type BeforeWrite,
  clearMarks,
  disarmBarrier,
  guestBytesOf,
  INSTRUMENT_EXPORTS,
  isDamaged,
  isMarked,
  isTouched,
  type MapLayout,
  marksIn,
  touchPage,
} from '../../instrument/index.ts';
import type { DirtyMarks } from '../dirty-marks.ts';
import { WASM_PAGE_BYTES } from './export-internals.ts';
import type { GlueWatch } from './glue-writes.ts';

export class MarkedMemory {
  readonly layout: MapLayout;
  readonly #memory: WebAssembly.Memory;
  readonly #exports: WebAssembly.Exports;
  readonly #growGuest: (pages: number) => number;
  readonly #glue: GlueWatch;
  /** Called for pages that are touched from here, while a barrier is armed. */
  #beforeWrite: BeforeWrite | undefined;

  /** Replaces the `grow` of the memory for all who hold it. Nothing is marked yet. */
  constructor(memory: WebAssembly.Memory, exports: WebAssembly.Exports, layout: MapLayout, glue: GlueWatch) {
    this.#glue = glue;
    this.layout = layout;
    this.#memory = memory;
    this.#exports = exports;
    // Safe: the rewriter added it.
    this.#growGuest = exports[INSTRUMENT_EXPORTS.grow] as (pages: number) => number;
    // A loader asks for what is missing from the length of the buffer, in which the map is counted: it gets that more.
    // In a memory of full size that tells nothing, and all is given at once.
    const grow = (pages: number): number =>
      this.grow(this.isFixed ? layout.maxPages - this.pages : pages + layout.extraPages);
    Object.defineProperty(memory, 'grow', { value: grow, configurable: true });
    clearMarks(memory.buffer, layout);
  }

  /** Pages of 64 KiB that are not the guest's. */
  get extraPages(): number {
    return this.layout.extraPages;
  }

  /** Whether the memory has its full size from the start. */
  get isFixed(): boolean {
    return this.layout.fixed !== undefined;
  }

  /** The size of the guest's memory as the program hears of it, in pages of 64 KiB. */
  get pages(): number {
    return guestBytesOf(this.#memory.buffer, this.layout) / WASM_PAGE_BYTES;
  }

  /** The guest's memory as far as it lies in the buffer: all it may come to in one of full size. Valid until it grows. */
  bytes(): Uint8Array {
    const { maxPages } = this.layout;
    return new Uint8Array(this.#memory.buffer, 0, (this.isFixed ? maxPages : this.pages) * WASM_PAGE_BYTES);
  }

  /** Grows the guest's memory by so many pages, no more. Throws `RangeError`, as the platform does. */
  readonly grow = (pages: number): number => {
    const former = this.#growGuest(pages);
    if (former < 0) throw new RangeError('the memory cannot grow so far');
    return former;
  };

  /** Grows the guest's memory to so many pages, if it has fewer. Throws `RangeError`. */
  growTo(pages: number): void {
    const missing = pages - this.pages;
    if (missing > 0) this.grow(missing);
  }

  /** Whether the map marks a page. Past the end of `bytes` there are no marks. */
  hasMark(page: number): boolean {
    if ((page + 1) * this.layout.pageBytes > this.bytes().length) return false;
    return isMarked(this.#memory.buffer, this.layout, page);
  }

  /** Moves the map's marks over into those of the region. */
  moveTo(marks: DirtyMarks, region: number): void {
    const { buffer } = this.#memory;
    const { pageBytes } = this.layout;
    const map = marksIn(buffer, this.layout);
    if (isDamaged(buffer, this.layout)) map.fill(1);
    for (let page = map.indexOf(1); page >= 0; page = map.indexOf(1, page + 1)) {
      marks.mark({ region, offsetBytes: page * pageBytes, lengthBytes: pageBytes });
    }
    clearMarks(buffer, this.layout);
  }

  /** Has `beforeWrite` called once for each page before the program writes to it. The marks were moved before. */
  arm(beforeWrite: BeforeWrite): void {
    armBarrier(this.#exports, this.#memory, this.layout, beforeWrite);
    this.#beforeWrite = beforeWrite;
    this.#glue.touch = this.touch;
  }

  disarm(): void {
    disarmBarrier(this.#exports);
    this.#beforeWrite = undefined;
    this.#glue.touch = undefined;
  }

  /** Touches these bytes, or as many of them as are the guest's, as the program would before it writes them. */
  readonly touch = (address: number, lengthBytes: number): void => {
    const { buffer } = this.#memory;
    const end = Math.min(address + lengthBytes, this.bytes().length);
    const { pageBytes } = this.layout;
    for (let page = Math.floor(address / pageBytes); page * pageBytes < end; page++) {
      if (!isTouched(buffer, this.layout, page)) {
        this.#beforeWrite?.(page);
        touchPage(buffer, this.layout, page);
      }
    }
  };
}

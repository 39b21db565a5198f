// The memory of an instrumented instance: without the map behind it, and growing so that the map moves along. The
// map's marks go over into `DirtyMarks`, beside those of what the host wrote.
//
// A mark is made before its store, so it is there also after a call that ended by throwing. After a store where the map
// lies, every page counts as written.

import {
  armBarrier,
  type BeforeWrite,
  clearMarks,
  disarmBarrier,
  guestBytesOf,
  INSTRUMENT_EXPORTS,
  isDamaged,
  isTouched,
  type MapLayout,
  marksIn,
  touchPage,
} from '../../instrument/index.ts';
import type { DirtyMarks } from '../dirty-marks.ts';
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
    const grow = (pages: number): number => this.grow(pages + layout.extraPages);
    Object.defineProperty(memory, 'grow', { value: grow, configurable: true });
    clearMarks(memory.buffer, layout);
  }

  /** Pages of 64 KiB that are not the guest's. */
  get extraPages(): number {
    return this.layout.extraPages;
  }

  /** The guest's memory as it is now. Valid until it grows. */
  bytes(): Uint8Array {
    const { buffer } = this.#memory;
    return new Uint8Array(buffer, 0, guestBytesOf(buffer, this.layout));
  }

  /** Grows the guest's memory by so many pages, no more. Throws `RangeError`, as the platform does. */
  readonly grow = (pages: number): number => {
    const former = this.#growGuest(pages);
    if (former < 0) throw new RangeError('the memory cannot grow so far');
    return former;
  };

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
    const end = Math.min(address + lengthBytes, guestBytesOf(buffer, this.layout));
    const { pageBytes } = this.layout;
    for (let page = Math.floor(address / pageBytes); page * pageBytes < end; page++) {
      if (!isTouched(buffer, this.layout, page)) {
        this.#beforeWrite?.(page);
        touchPage(buffer, this.layout, page);
      }
    }
  };
}

// The memory of an instrumented instance: without the map behind it, and growing so that the map moves along. The
// map's marks go over into `DirtyMarks`, beside those of what the host wrote.
//
// What cannot be trusted is given up: after a call that ended by throwing, or a store where the map lies, every page
// counts as written.

import {
  clearMarks,
  INSTRUMENT_EXPORTS,
  isDamaged,
  type MapLayout,
  marksIn,
} from '../../instrument/index.ts';
import type { DirtyMarks } from '../dirty-marks.ts';

export class MarkedMemory {
  readonly layout: MapLayout;
  readonly #memory: WebAssembly.Memory;
  readonly #growGuest: (pages: number) => number;
  #isTrusted = true;

  /** Replaces the `grow` of the memory for all who hold it. */
  constructor(memory: WebAssembly.Memory, exports: WebAssembly.Exports, layout: MapLayout) {
    this.layout = layout;
    this.#memory = memory;
    // Safe: the rewriter added it.
    this.#growGuest = exports[INSTRUMENT_EXPORTS.grow] as (pages: number) => number;
    // A loader asks for what is missing from the length of the buffer, in which the map is counted: it gets that more.
    const grow = (pages: number): number => this.grow(pages + layout.extraPages);
    Object.defineProperty(memory, 'grow', { value: grow, configurable: true });
  }

  /** Pages of 64 KiB that are not the guest's. */
  get extraPages(): number {
    return this.layout.extraPages;
  }

  /** Grows the guest's memory by so many pages, no more. Throws `RangeError`, as the platform does. */
  readonly grow = (pages: number): number => {
    const former = this.#growGuest(pages);
    if (former < 0) throw new RangeError('the memory cannot grow so far');
    return former;
  };

  /** The function, watched: when it throws, a store of it may have no mark. */
  watch(call: (...args: unknown[]) => unknown): (...args: unknown[]) => unknown {
    const watched = (...args: unknown[]): unknown => {
      try {
        return call(...args);
      } catch (error) {
        this.#isTrusted = false;
        throw error;
      }
    };
    Object.defineProperty(watched, 'length', { value: call.length });
    return watched;
  }

  /** Moves the map's marks over into those of the region. */
  moveTo(marks: DirtyMarks, region: number): void {
    const { buffer } = this.#memory;
    const { pageBytes } = this.layout;
    const map = marksIn(buffer, this.layout);
    if (!this.#isTrusted || isDamaged(buffer, this.layout)) {
      marks.mark({ region, offsetBytes: 0, lengthBytes: map.length * pageBytes });
    } else {
      for (let page = map.indexOf(1); page >= 0; page = map.indexOf(1, page + 1)) {
        marks.mark({ region, offsetBytes: page * pageBytes, lengthBytes: pageBytes });
      }
    }
    clearMarks(buffer, this.layout);
    this.#isTrusted = true;
  }
}

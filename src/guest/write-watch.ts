// Told of each write before it is made, many million times a second, and quick about it: a byte a page says whether
// anything has to be done. After the first write to a page that is one look into an array, until the marks are taken.
//
//   heard[page] = 1: its mark is set; nothing to do
//   heard[page] = 0: the first write since the marks were taken
//
// What is marked lives in `DirtyMarks`; this is only the fast way there.

import { pageCountOf, type Region } from '../memory/region.ts';
import type { DirtyMarks } from './dirty-marks.ts';
import type { DirtyTake } from './guest.ts';

/** Says that `lengthBytes` bytes, one when left out, from an offset in one region are about to be written. */
export type WriteListener = (offsetBytes: number, lengthBytes?: number) => void;

export class WriteWatch {
  readonly #marks: DirtyMarks;
  readonly #heard: readonly Uint8Array[];

  constructor(regions: readonly Region[], marks: DirtyMarks) {
    this.#marks = marks;
    // All pages start marked, so that nothing has to be done before the first take.
    this.#heard = regions.map((region) => new Uint8Array(pageCountOf(region)).fill(1));
  }

  /** The listener of one region. What of a span lies outside it is left out. */
  listenerOf(region: Region): WriteListener {
    // Safe: ids are indices, and there is one map a region.
    const heard = this.#heard[region.id]!;
    const shift = 31 - Math.clz32(region.pageBytes);
    return (offsetBytes, lengthBytes = 1) => {
      // A region can be larger than 4 GiB, where a shift would cut its offsets off.
      const first =
        offsetBytes < 0x8000_0000 ? offsetBytes >> shift : Math.floor(offsetBytes / region.pageBytes);
      if (heard[first] === 1 && (offsetBytes & (region.pageBytes - 1)) + lengthBytes <= region.pageBytes)
        return;
      this.#hear(region, offsetBytes, lengthBytes);
    };
  }

  /** Takes the marks; from here on every page is heard of again. */
  take(): DirtyTake {
    for (const heard of this.#heard) heard.fill(0);
    return this.#marks.take();
  }

  #hear(region: Region, offsetBytes: number, lengthBytes: number): void {
    const start = Math.max(0, offsetBytes);
    const end = Math.min(region.sizeBytes, offsetBytes + lengthBytes);
    if (!(start < end)) return;
    this.#marks.mark({ region: region.id, offsetBytes: start, lengthBytes: end - start });
    const last = Math.floor((end - 1) / region.pageBytes);
    this.#heard[region.id]!.fill(1, Math.floor(start / region.pageBytes), last + 1);
  }
}

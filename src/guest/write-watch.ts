// Told of each write before it is made, many million times a second, and quick about it: a byte a page says whether
// anything has to be done. After the first write to a page that is one look into an array, until the marks are taken.
//
//   heard[page] = 1: its mark is set, and no barrier awaits it; nothing to do
//   heard[page] = 0: the first write since the marks were taken or the barrier was armed
//
// What is marked lives in `DirtyMarks`, what is awaited in `PageBarrier`; this is only the fast way there.

import { VitrineError } from '../base/error.ts';
import type { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import type { BarrierOptions, RegionPageSink } from './barrier.ts';
import type { DirtyMarks } from './dirty-marks.ts';
import type { DirtyTake } from './guest.ts';
import { PageBarrier, type PageBarrierParts } from './page-barrier.ts';

/** Says that `lengthBytes` bytes, one when left out, from an offset in one region are about to be written. */
export type WriteListener = (offsetBytes: number, lengthBytes?: number) => void;

export class WriteWatch {
  readonly #marks: DirtyMarks;
  readonly #heard: readonly Uint8Array[];
  #barrier: PageBarrier | undefined;

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
    this.#listenAgain();
    return this.#marks.take();
  }

  /** The next write to this page is heard of again. */
  listenTo(region: number, page: number): void {
    this.#heard[region]![page] = 0;
  }

  /** A barrier before the writes that are told. Throws `wrong-state` while another one is open. */
  openBarrier(parts: Omit<PageBarrierParts, 'onClose'>, options: BarrierOptions): PageBarrier {
    if (this.#barrier !== undefined) {
      throw new VitrineError('wrong-state', { actual: 'a barrier is open', required: 'none' });
    }
    const onClose = (): void => {
      this.#barrier = undefined;
    };
    this.#barrier = new WatchedBarrier({ ...parts, onClose }, options, () => this.#listenAgain());
    return this.#barrier;
  }

  #listenAgain(): void {
    for (const heard of this.#heard) heard.fill(0);
  }

  #hear(region: Region, offsetBytes: number, lengthBytes: number): void {
    const start = Math.max(0, offsetBytes);
    const end = Math.min(region.sizeBytes, offsetBytes + lengthBytes);
    if (!(start < end)) return;
    const span = { region: region.id, offsetBytes: start, lengthBytes: end - start };
    this.#barrier?.beforeWrite(span);
    this.#marks.mark(span);
    const last = Math.floor((end - 1) / region.pageBytes);
    this.#heard[region.id]!.fill(1, Math.floor(start / region.pageBytes), last + 1);
  }
}

/** A barrier that has the first write to each page told again once it is armed. */
class WatchedBarrier extends PageBarrier {
  readonly #onArm: () => void;

  constructor(parts: PageBarrierParts, options: BarrierOptions, onArm: () => void) {
    super(parts, options);
    this.#onArm = onArm;
  }

  override arm(awaited: readonly PageSet[], sink: RegionPageSink): void {
    super.arm(awaited, sink);
    this.#onArm();
  }
}

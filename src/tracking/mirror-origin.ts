// What a guest was made of, where that can be read at any time: its mirror then holds it without a copy, and takes memory for the
// pages alone that somebody needed.

import type { Address } from '../kernel/kernels.ts';
import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import { addressIn, type Segment } from './mirror-segment.ts';

/** Memory as it was when the guest was made. It never changes, and is all that its marks do not tell. */
export interface MirrorOrigin {
  /** Bytes of a region. Throws what reading throws. */
  read(region: number, offsetBytes: number, into: Uint8Array): void;
  /** Called once, after the last read. */
  close(): void;
}

/** Pages of a mirror that it holds by its origin alone. */
export class OriginPages {
  readonly #origin: MirrorOrigin;
  readonly #regions: readonly Region[];
  readonly #absent: readonly PageSet[];

  constructor(origin: MirrorOrigin, regions: readonly Region[]) {
    this.#origin = origin;
    this.#regions = regions;
    this.#absent = regions.map((region) => PageSet.all(pageCountOf(region)));
  }

  close(): void {
    this.#origin.close();
  }

  /** Has a run in the mirror's own memory, to be compared or changed there. Throws what reading throws. */
  load(segment: Segment, first: number, count: number): void {
    const { kernels, region } = segment;
    if (this.#countOf(region.id, first, count) === 0) return;
    this.#fill(region.id, first, kernels.arena.bytes(addressIn(segment, first), count * region.pageBytes));
    this.drop(region.id, first, count);
  }

  /**
   * Where the bytes of a run are to be read, all of one chunk: what only the origin holds is read beside the mirror, which takes no
   * memory for it. Valid until the mirror is used again. Throws what reading throws.
   */
  placeOf(segment: Segment, first: number, count: number): Address {
    const { kernels, region, work } = segment;
    const place = addressIn(segment, first);
    const absent = this.#countOf(region.id, first, count);
    if (absent === 0) return place;
    const lengthBytes = count * region.pageBytes;
    const beside = kernels.arena.bytes(work.changedPages, lengthBytes);
    if (absent < count) beside.set(kernels.arena.bytes(place, lengthBytes));
    this.#fill(region.id, first, beside);
    return work.changedPages;
  }

  /** The mirror's memory holds these now, or will at once. */
  drop(region: number, first: number, count: number): void {
    for (let page = first; page < first + count; page++) this.#absent[region]!.delete(page);
  }

  /** How many of a run the mirror's memory does not hold. */
  #countOf(region: number, first: number, count: number): number {
    let absent = 0;
    for (let page = first; page < first + count; page++) if (this.#absent[region]!.has(page)) absent++;
    return absent;
  }

  /** Reads those of a run that the mirror's memory does not hold; `into` is the run's bytes, and keeps the others. */
  #fill(region: number, first: number, into: Uint8Array): void {
    const { pageBytes, sizeBytes } = this.#regions[region]!;
    const last = first + into.length / pageBytes;
    for (let page = first; page < last; page++) {
      if (!this.#absent[region]!.has(page)) continue;
      let end = page + 1;
      while (end < last && this.#absent[region]!.has(end)) end++;
      const part = into.subarray((page - first) * pageBytes, (end - first) * pageBytes);
      const present = Math.min(part.length, sizeBytes - page * pageBytes);
      this.#origin.read(region, page * pageBytes, part.subarray(0, present));
      part.fill(0, present);
      page = end;
    }
  }
}

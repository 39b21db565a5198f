// Pages that a guest said it uses no more: kept until it writes to them, and told when a tracker asks.
//
//   hintFree ──▶ hinted ──asked──▶ told         any write, told by its mark ──▶ forgotten at the next take or question
//                  └── state was loaded: all forgotten, since at that instant they may have been in use
//
// A page is mostly written before it is freed, so its mark from before is set aside in `DirtyMarks`: a mark that is there
// later was made after the hint. Hints are a guest's word: what they say outside of memory, or of parts of pages, is nothing.

import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import type { DirtyMarks } from './dirty-marks.ts';
import type { FreePageRequest, FreeSpanListener } from './free-pages.ts';

/** Makes ready to tell writes of a page from here on from those before. False where that cannot be done now. */
export type TellApart = (region: number, page: number) => boolean;

export class FreeHints {
  readonly #regions: readonly Region[];
  readonly #marks: DirtyMarks;
  readonly #tellApart: TellApart;
  readonly #hinted: readonly PageSet[];
  #isUsed = false;

  constructor(regions: readonly Region[], marks: DirtyMarks, tellApart: TellApart) {
    this.#regions = regions;
    this.#marks = marks;
    this.#tellApart = tellApart;
    this.#hinted = regions.map((region) => new PageSet(pageCountOf(region)));
    marks.onTake = (written) => this.#drop(written);
  }

  /** What the guest uses no more, by its address. Never throws. */
  hintAt(address: number, lengthBytes: number): void {
    for (const { id, guestAddress, sizeBytes, pageBytes } of this.#regions) {
      if (guestAddress === null) continue;
      const start = Math.max(0, address - guestAddress);
      const end = Math.min(sizeBytes, address + lengthBytes - guestAddress);
      const last = Math.floor(end / pageBytes);
      for (let page = Math.ceil(start / pageBytes); page < last; page++) this.#hint(id, page);
    }
  }

  /** The guest's answer, for `Guest.freePageHint`; undefined until it ever said something, since asking costs a pause. */
  get request(): ((tell: FreeSpanListener) => FreePageRequest) | undefined {
    return this.#isUsed ? (tell) => this.#tell(tell) : undefined;
  }

  /** The guest was brought to another instant. */
  forget(): void {
    for (const pages of this.#hinted) pages.clear();
  }

  #hint(region: number, page: number): void {
    if (!this.#tellApart(region, page)) return;
    this.#isUsed = true;
    this.#marks.setAside(region, page);
    this.#hinted[region]!.add(page);
  }

  /** It has said all there is: what it hints from here on is for the next question. */
  #tell(tell: FreeSpanListener): FreePageRequest {
    this.#drop(this.#marks.marked);
    for (const { id: region, pageBytes } of this.#regions) {
      for (const { first, count } of this.#hinted[region]!.runs()) {
        tell({ region, offsetBytes: first * pageBytes, lengthBytes: count * pageBytes });
      }
    }
    return { done: Promise.resolve(), end: () => {} };
  }

  #drop(written: readonly PageSet[]): void {
    for (const [region, pages] of this.#hinted.entries()) pages.deleteAll(written[region]!);
  }
}

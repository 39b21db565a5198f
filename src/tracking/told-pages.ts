// Whole pages that a guest tells of, heard with limited patience: a guest may tell the same again and again, or of spans that
// lie anywhere.

import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import type { Span } from '../memory/span.ts';

/** How often the same pages are heard in one answer, all in all: one that tells more is not listened to any longer. */
const MAX_TELLINGS = 4;

export class ToldPages {
  /** By region; the owner may take pages out. */
  readonly sets: readonly PageSet[];
  readonly #regions: readonly Region[];
  /** Pages and spans that are still listened to. */
  #patience = 0;

  constructor(regions: readonly Region[]) {
    this.#regions = regions;
    this.sets = regions.map((region) => new PageSet(pageCountOf(region)));
  }

  /** A new answer begins. */
  begin(): void {
    for (const set of this.sets) set.clear();
    this.#patience = MAX_TELLINGS * this.sets.reduce((sum, { pageCount }) => sum + pageCount, 0);
  }

  /**
   * Takes the whole pages of a span that lies in its region; of one that reaches past it, those inside. Returns whether more
   * is listened to.
   */
  hear({ region, offsetBytes, lengthBytes }: Span): boolean {
    const told = this.sets[region];
    const pageBytes = this.#regions[region]?.pageBytes;
    this.#patience--;
    if (told !== undefined && pageBytes !== undefined && offsetBytes >= 0 && lengthBytes > 0) {
      const first = Math.ceil(offsetBytes / pageBytes);
      const end = Math.min(told.pageCount, Math.floor((offsetBytes + lengthBytes) / pageBytes));
      for (let page = first; page < end; page++) told.add(page);
      this.#patience -= Math.max(0, end - first);
    }
    return this.#patience >= 0;
  }
}

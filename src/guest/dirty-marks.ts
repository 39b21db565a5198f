// Pages that a guest marks as it writes them. Marks are taken, never cleared: a take that is put back is in the next
// one again, so that a save that failed forgets no page.
//
// It starts with every page marked: nobody has seen any of them yet.

import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import type { Span } from '../memory/span.ts';
import type { DirtyTake } from './guest.ts';

export class DirtyMarks {
  readonly #regions: readonly Region[];
  /** Hears of what was marked since it was last set aside or taken, when marks are taken. */
  onTake: ((marked: readonly PageSet[]) => void) | undefined;
  #marked: readonly PageSet[];
  /** In the next take like those marked, and marked earlier than they. */
  readonly #aside: readonly PageSet[];

  constructor(regions: readonly Region[]) {
    this.#regions = regions;
    this.#marked = regions.map((region) => PageSet.all(pageCountOf(region)));
    this.#aside = regions.map((region) => new PageSet(pageCountOf(region)));
  }

  /** What was marked since it was last set aside or taken; not to be changed. */
  get marked(): readonly PageSet[] {
    return this.#marked;
  }

  /** Marks every page that the span, which lies in its region, touches. */
  mark(span: Span): void {
    const region = this.#regions[span.region];
    const marked = this.#marked[span.region];
    if (region === undefined || marked === undefined || span.lengthBytes === 0) return;
    const last = Math.floor((span.offsetBytes + span.lengthBytes - 1) / region.pageBytes);
    for (let page = Math.floor(span.offsetBytes / region.pageBytes); page <= last; page++) marked.add(page);
  }

  /** Marks pages of a region. */
  markPages(region: number, pages: PageSet): void {
    this.#marked[region]?.addAll(pages);
  }

  /** Sets the mark of a page aside, if it has one: it is taken as ever, and a mark that `marked` has later is a new one. */
  setAside(region: number, page: number): void {
    const marked = this.#marked[region];
    if (marked?.has(page) !== true) return;
    marked.delete(page);
    this.#aside[region]!.add(page);
  }

  /** Takes what was marked since the last take. Of `commit` and `putBack` the first call counts. */
  take(): DirtyTake {
    const pages = this.#marked;
    this.onTake?.(pages);
    for (const [region, set] of pages.entries()) set.addAll(this.#aside[region]!);
    for (const set of this.#aside) set.clear();
    this.#marked = this.#regions.map((region) => new PageSet(pageCountOf(region)));
    let settled = false;
    return {
      pages,
      commit: () => {
        settled = true;
      },
      putBack: () => {
        if (!settled) for (const [region, set] of pages.entries()) this.#marked[region]?.addAll(set);
        settled = true;
      },
    };
  }
}

// Pages that may have been written since somebody last looked: what a guest marked, kept by each one who has not looked
// yet. A guest's marks are taken once, but a save and a checkpoint look at different times.
//
// A region of which the guest could not tell counts as all suspect until the next `clear`.

import { type PageRun, PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';

export class SuspectPages {
  readonly #pages: readonly PageSet[];
  /** By region: the guest could not tell. */
  readonly #all: Uint8Array;

  /** None of the pages of `regions`. */
  constructor(regions: readonly Region[]) {
    this.#pages = regions.map((region) => new PageSet(pageCountOf(region)));
    this.#all = new Uint8Array(regions.length);
  }

  /** Adds what one take told, a set a region, null for all of a region. */
  add(pages: readonly (PageSet | null)[]): void {
    for (let region = 0; region < this.#pages.length; region++) {
      const told = pages[region] ?? null;
      if (told === null) this.#all[region] = 1;
      else this.#pages[region]!.addAll(told);
    }
  }

  /** The suspects of a region, not to be changed; null for all its pages. */
  of(region: number): PageSet | null {
    return this.#all[region] === 0 ? this.#pages[region]! : null;
  }

  /** Pages of a region that somebody looked at. A region that is all suspect stays so. */
  delete(region: number, { first, count }: PageRun): void {
    for (let page = first; page < first + count; page++) this.#pages[region]!.delete(page);
  }

  clear(): void {
    for (const pages of this.#pages) pages.clear();
    this.#all.fill(0);
  }
}

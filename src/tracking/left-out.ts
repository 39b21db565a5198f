// Free pages that a capture left out: zeros in the captured instant, whatever the guest and the mirror hold. Once that is
// committed the base holds zeros for them: they stay pending, and are told again as soon as they may not be left out.

import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import type { FreePages } from './free-pages.ts';

export class LeftOut {
  readonly #free: FreePages;
  /** By region: pages that are zeros in the captured instant. */
  readonly #now: readonly PageSet[];
  /** By region: pages that are zeros in the last committed capture. */
  readonly #base: readonly PageSet[];

  constructor(regions: readonly Region[], free: FreePages) {
    this.#free = free;
    this.#now = regions.map((region) => new PageSet(pageCountOf(region)));
    this.#base = regions.map((region) => new PageSet(pageCountOf(region)));
  }

  /**
   * Leaves the pages known to be free out of a captured instant, if that is wanted: out of `changed` go those that are
   * zeros in what it is told from. Returns how many pages are left out.
   */
  choose(changed: readonly Uint32Array<ArrayBuffer>[], full: boolean, isWanted: boolean): number {
    let count = 0;
    for (const [region, words] of changed.entries()) {
      const now = this.#now[region]!;
      now.clear();
      if (!isWanted) continue;
      const pages = new PageSet(now.pageCount, words);
      now.addAll(pages);
      now.keepAll(this.#free.of(region));
      count += now.size;
      const same = now.clone();
      if (!full) same.keepAll(this.#base[region]!);
      pages.deleteAll(same);
    }
    return count;
  }

  /** Pages of a region that are zeros in the captured instant; not to be changed. */
  of(region: number): PageSet {
    return this.#now[region]!;
  }

  /** The captured instant is the base: its pages stay pending. */
  settle(pending: readonly PageSet[]): void {
    for (const [region, now] of this.#now.entries()) {
      this.#base[region]!.clear();
      this.#base[region]!.addAll(now);
      pending[region]!.addAll(now);
    }
  }

  /** The base is what the mirror holds. */
  clear(): void {
    for (const sets of [this.#now, this.#base]) for (const pages of sets) pages.clear();
  }
}

// What was stored of a guest before its instant is captured, out of what was planned to be.

import { PageSet } from '../memory/page-set.ts';

export class AheadPages {
  readonly #planned: readonly PageSet[];
  readonly #stored: readonly PageSet[];

  constructor(planned: readonly PageSet[]) {
    this.#planned = planned;
    this.#stored = planned.map(({ pageCount }) => new PageSet(pageCount));
  }

  add(region: number, page: number): void {
    this.#stored[region]!.add(page);
  }

  /** A new set a region: what was planned and not stored, or that of others. */
  left(of: readonly PageSet[] = this.#planned): PageSet[] {
    return of.map((planned, region) => {
      const pages = planned.clone();
      pages.deleteAll(this.#stored[region]!);
      return pages;
    });
  }
}

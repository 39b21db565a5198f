// Captured pages that have no copy: the guest holds them and rests until each has been read.

import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import type { DigestScanner } from './digest-scanner.ts';

export class LeftPages {
  readonly #scanner: DigestScanner;
  readonly #pages: readonly PageSet[];
  #count = 0;

  constructor(regions: readonly Region[], scanner: DigestScanner) {
    this.#scanner = scanner;
    this.#pages = regions.map((region) => new PageSet(pageCountOf(region)));
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Notes those of the captured pages that hold something and were not copied. */
  note(captured: readonly PageSet[]): void {
    this.clear();
    for (const [region, pages] of captured.entries()) {
      for (const page of pages) {
        if (this.#scanner.isZero(region, page) || this.#scanner.kept(region, page) !== undefined) continue;
        this.#pages[region]!.add(page);
        this.#count++;
      }
    }
  }

  /** A page has been read. */
  drop(region: number, page: number): void {
    if (!this.#pages[region]!.has(page)) return;
    this.#pages[region]!.delete(page);
    this.#count--;
  }

  clear(): void {
    for (const pages of this.#pages) pages.clear();
    this.#count = 0;
  }
}

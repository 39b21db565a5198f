// Whether a guest's marks are believed. Where they were put into an emulator from outside, the first scans look at every
// page all the same, and each that changed must have been marked. One that was not ends the belief for good: from then on
// the guest counts as one that cannot tell, and its pages are scanned.
//
// A save in which a mark is missed is right too, since it was an audited one.

import type { DirtyTake } from '../guest/guest.ts';
import type { PageSet } from '../memory/page-set.ts';

export class MarkAudit {
  /** Scans with changes that are still to be compared. */
  #left: number;
  /** Changed pages of this scan that the marks could have missed. */
  #compared = 0;
  #distrust: string | undefined;

  constructor(scans: number) {
    this.#left = scans;
  }

  /** Whether the next scan has to look at all pages and tell each changed one to `see`. */
  get isDue(): boolean {
    return this.#left > 0 && this.#distrust === undefined;
  }

  /** Why the marks are not believed, or undefined while they are. */
  get distrust(): string | undefined {
    return this.#distrust;
  }

  /** What the guest told, or that it could not tell when it is not believed. */
  judged(take: DirtyTake): DirtyTake {
    if (this.#distrust === undefined) return take;
    return { ...take, pages: take.pages.map(() => null) };
  }

  /** A page changed; `told` are those of its region that the marks and ourselves account for, null for all. */
  see(region: number, page: number, told: PageSet | null): void {
    if (told === null) return;
    this.#compared++;
    if (!told.has(page)) this.#distrust ??= `page ${page} of region ${region} changed without a mark`;
  }

  /** The scan went to its end. One without changes proves nothing. */
  endScan(): void {
    if (this.#compared > 0) this.#left--;
    this.#compared = 0;
  }
}

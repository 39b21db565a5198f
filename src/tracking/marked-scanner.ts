// A scanner that looks at the pages alone that a guest marked: whoever knows a digest a page need not read what nobody wrote.
//
//   marks since the last scan ∪ pages that were learned as what they shall hold ∪ copies that are wanted ─▶ looked at
//
// Marks are taken in a pause, also where the scan itself runs beside the guest: what is written while it reads is marked for the
// next one. Marks that were put in from outside are proven first, as in `mark-audit.ts`: scans look at all pages until then.

import type { OwnedBytes } from '../base/bytes.ts';
import type { Guest } from '../guest/guest.ts';
import type { PageSet } from '../memory/page-set.ts';
import { pageCountOf } from '../memory/region.ts';
import type { DigestedPages, DigestScanner } from './digest-scanner.ts';
import { MarkAudit } from './mark-audit.ts';
import { emptySets } from './region-sets.ts';
import { SuspectPages } from './suspect-pages.ts';
import type { PageFile, TrackerDescription } from './tracker.ts';

export class MarkedScanner implements DigestScanner {
  readonly #guest: Guest;
  readonly #scanner: DigestScanner;
  readonly #audit: MarkAudit;
  /** Marked since a scan that came to its end. */
  readonly #unseen: SuspectPages;
  /** What is known of them is not what the guest held. */
  readonly #doubted: readonly PageSet[];
  #lookedCount = 0;

  /** Over a scanner of this guest's memory. */
  constructor(guest: Guest, scanner: DigestScanner) {
    this.#guest = guest;
    this.#scanner = scanner;
    this.#audit = new MarkAudit(guest.traits.auditScans ?? 0);
    this.#unseen = new SuspectPages(guest.regions);
    this.#doubted = emptySets(guest.regions);
  }

  get lookedCount(): number {
    return this.#lookedCount;
  }

  get tier(): Pick<TrackerDescription, 'tier' | 'tierReason'> | undefined {
    const { tracking, trackingSource } = this.#guest.traits;
    const { distrust } = this.#audit;
    if (tracking === 'none') return undefined;
    if (distrust !== undefined) return { tier: 'scan', tierReason: distrust };
    return { tier: 'marks', ...(trackingSource === undefined ? {} : { tierReason: trackingSource }) };
  }

  async scan(changed: readonly PageSet[], keep?: readonly PageSet[]): Promise<void> {
    if (this.#guest.traits.tracking === 'none') {
      this.#lookedCount = this.#allCount();
      return this.#scanner.scan(changed, keep);
    }
    await this.#take();
    const isAudited = this.#audit.isDue;
    const told = this.#told();
    const only = isAudited ? null : told;
    const differing = emptySets(this.#guest.regions);
    try {
      await this.#scanner.scan(differing, keep, only ?? undefined);
    } finally {
      for (const [region, pages] of differing.entries()) changed[region]!.addAll(pages);
    }
    if (isAudited) {
      for (const [region, pages] of differing.entries()) {
        for (const page of pages) this.#audit.see(region, page, told?.[region] ?? null);
      }
      this.#audit.endScan();
    }
    this.#lookedCount = only === null ? this.#allCount() : only.reduce((sum, { size }) => sum + size, 0);
    this.#unseen.clear();
    for (const pages of this.#doubted) pages.clear();
  }

  /** Marks are not taken for it: what they tell, and why where they do not, is for the scan. */
  soundOut(changed: readonly PageSet[]): Promise<number> {
    return this.#scanner.soundOut(changed);
  }

  findNonZero(found: readonly PageSet[]): Promise<void> {
    return this.#scanner.findNonZero(found);
  }

  fileOf(region: number): PageFile | undefined {
    return this.#scanner.fileOf(region);
  }

  kept(region: number, page: number): Uint8Array | undefined {
    return this.#scanner.kept(region, page);
  }

  isZero(region: number, page: number): boolean {
    return this.#scanner.isZero(region, page);
  }

  holds(region: number, page: number, digest: Uint8Array): boolean {
    return this.#scanner.holds(region, page, digest);
  }

  learn(region: number, page: number, digest: Uint8Array, wasHeld = false): void {
    // Where the guest held that since its marks were last taken, it holds it still or has it marked.
    if (!wasHeld) this.#doubted[region]!.add(page);
    this.#scanner.learn(region, page, digest);
  }

  digest(bytes: OwnedBytes, pageBytes: number): Promise<DigestedPages> {
    return this.#scanner.digest(bytes, pageBytes);
  }

  async #take(): Promise<void> {
    await this.#guest.pause({ marks: true });
    try {
      const take = this.#audit.judged(this.#guest.takeDirty());
      this.#unseen.add(take.pages);
      take.commit();
    } finally {
      await this.#guest.resume();
    }
  }

  /** Pages to be looked at; null for all. */
  #told(): PageSet[] | null {
    const told: PageSet[] = [];
    for (const { id } of this.#guest.regions) {
      const unseen = this.#unseen.of(id);
      if (unseen === null) return null;
      const pages = unseen.clone();
      pages.addAll(this.#doubted[id]!);
      told.push(pages);
    }
    return told;
  }

  #allCount(): number {
    return this.#guest.regions.reduce((sum, region) => sum + pageCountOf(region), 0);
  }
}

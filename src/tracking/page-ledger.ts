// Which pages differ from whom: the books of one tracker. They join what the guest marks, what the mirror holds, what the
// last committed capture held, and what a checkpoint must keep.
//
//   pending   its mirror may differ from the last committed capture. A scan adds to it, commit empties it, and nothing
//             else takes a page out: so a save that fails at any step forgets no page.
//   staged    its mirror was overwritten for a restore that did not come about, or not yet.
//   unseen    the guest marked it, the mark was taken already (by a reset), and the mirror has not looked yet. A scan takes
//             marks without looking for the checkpoint: it tells the checkpoint.
//   left out  the last committed capture holds zeros for it, for it was free; its mirror holds what the guest holds. Such a
//             page stays pending.
//
// It neither pauses the guest nor knows in which state the tracker is.

import { MIB } from '../base/limits.ts';
import type { DirtyTake, Guest } from '../guest/guest.ts';
import { type PageRun, PageSet } from '../memory/page-set.ts';
import { pageCountOf } from '../memory/region.ts';
import type { Checkpoint, ResetSteps } from './checkpoint.ts';
import { CopiedPages } from './copied-pages.ts';
import type { Follower } from './follower.ts';
import { FreePages } from './free-pages.ts';
import { LeftOut } from './left-out.ts';
import { MarkAudit } from './mark-audit.ts';
import type { ChangeListener, Mirror, PageSource } from './mirror.ts';
import type { MirrorScanner } from './mirror-scanner.ts';
import { PreviousPages } from './previous-pages.ts';
import type { Slices } from './slices.ts';
import { SuspectPages } from './suspect-pages.ts';
import type { TrackerDescription } from './tracker.ts';

/** Old pages kept for deltas: 4,096 of the usual size. A capture that changed more is not a small one. */
const PREVIOUS_BYTES = 16 * MIB;

/** Marks that were taken, and where their pages are read: of the guest, while it rests, or copies of them. */
export interface TakenMarks {
  readonly take: DirtyTake;
  readonly source: PageSource;
  readonly isCopied: boolean;
}

export class PageLedger {
  readonly #guest: Guest;
  readonly #mirror: Mirror;
  readonly #scanner: MirrorScanner | undefined;
  readonly pending: readonly PageSet[];
  readonly staged: readonly PageSet[];
  readonly previous: PreviousPages;
  readonly #unseen: SuspectPages;
  readonly #copied: CopiedPages;
  readonly audit: MarkAudit;
  /** How often the books were closed: captures and restores that were committed. */
  epoch = 0;
  readonly free: FreePages;
  readonly leftOut: LeftOut;
  /** Told of what the guest wrote and of what the mirror loses, while there is one. */
  checkpoint: Checkpoint | undefined;
  /** Told of what the mirror loses, while there is one. */
  follower: Follower | null = null;

  /** With a scanner, other threads compare memory where all of it is to be looked at. */
  constructor(guest: Guest, mirror: Mirror, scanner?: MirrorScanner) {
    this.#guest = guest;
    this.#mirror = mirror;
    this.#scanner = scanner;
    this.pending = guest.regions.map((region) => new PageSet(pageCountOf(region)));
    this.staged = guest.regions.map((region) => new PageSet(pageCountOf(region)));
    this.previous = new PreviousPages(guest.regions.length, PREVIOUS_BYTES);
    this.#unseen = new SuspectPages(guest.regions);
    this.#copied = new CopiedPages(mirror);
    this.audit = new MarkAudit(guest.traits.auditScans ?? 0);
    this.free = new FreePages(guest);
    this.leftOut = new LeftOut(guest.regions, this.free);
  }

  /** How changed pages are found now, and why not better. */
  get tier(): Pick<TrackerDescription, 'tier' | 'tierReason'> {
    const { traits } = this.#guest;
    const tierReason = this.audit.distrust ?? traits.trackingReason ?? traits.trackingSource;
    const isScan = traits.tracking === 'none' || this.audit.distrust !== undefined;
    const tier = isScan ? 'scan' : traits.tracking;
    return { tier, ...(tierReason === undefined ? {} : { tierReason }) };
  }

  /** Bitmaps of the pages that may differ from the last committed capture, or with `full` from zeros. */
  changed(full: boolean): Uint32Array<ArrayBuffer>[] {
    const sets = full
      ? this.#guest.regions.map((region) => this.#mirror.nonZeroPages(region.id))
      : this.pending;
    return sets.map((pages) => pages.words.slice());
  }

  /** As `changed`, while the guest runs in between. */
  async changedInSlices(full: boolean, slices: Slices): Promise<Uint32Array<ArrayBuffer>[]> {
    if (!full) return this.changed(false);
    const found: Uint32Array<ArrayBuffer>[] = [];
    slices.begin();
    for (const region of this.#guest.regions) {
      const pages = PageSet.all(pageCountOf(region));
      for (const _ of this.#mirror.dropZeros(region.id, pages)) await slices.breathe();
      found.push(pages.words);
    }
    slices.end();
    return found;
  }

  /**
   * Takes the marks of the guest at rest for `scan`, or to be put back; and copies the pages that they tell where that lets it go on
   * before: its memory does not lie open, and there is not much to look at.
   */
  async takeMarks(): Promise<TakenMarks> {
    const guest = this.#guest;
    const take = this.take();
    const isNear = guest.regions.some(({ id }) => guest.view(id) !== undefined);
    if (isNear || this.audit.isDue) return { take, source: guest, isCopied: false };
    try {
      const candidates = guest.regions.map(({ id }) => this.candidates(take, id));
      if (!this.#copied.fits(candidates)) return { take, source: guest, isCopied: false };
      await this.#copied.copy(guest, candidates);
      return { take, source: this.#copied, isCopied: true };
    } catch (error) {
      take.putBack();
      throw error;
    }
  }

  /**
   * Makes the mirror equal to the paused guest, or to what was copied of it, and every page that differed pending. Returns the pages
   * looked at.
   */
  async scan(keepPrevious: boolean, taken?: TakenMarks): Promise<number> {
    const { take, source } = taken ?? { take: this.take(), source: this.#guest };
    const isAudited = this.audit.isDue;
    let scanned = 0;
    let differing: readonly PageSet[] | undefined;
    try {
      for (const region of this.#guest.regions) {
        const { id } = region;
        const candidates = this.candidates(take, id);
        const listener = this.listener(keepPrevious, id, isAudited ? { told: candidates } : undefined);
        let looked = isAudited ? null : candidates;
        if (looked === null && this.#scanner !== undefined) {
          differing ??= await this.#compareAll(this.#scanner);
          looked = differing[id]!;
          scanned += pageCountOf(region) - looked.size;
        }
        scanned += await this.#mirror.scan(source, id, looked, this.pending[id]!, listener);
      }
    } catch (error) {
      take.putBack();
      throw error;
    }
    this.settle(take);
    return scanned;
  }

  async #compareAll(scanner: MirrorScanner): Promise<readonly PageSet[]> {
    const differing = this.#guest.regions.map((region) => new PageSet(pageCountOf(region)));
    await scanner.compare(differing);
    return differing;
  }

  /** The guest's marks, taken; what is not believed counts as not told. Settled by `settle`, or put back. */
  take(): DirtyTake {
    const take = this.audit.judged(this.#guest.takeDirty());
    this.free.written(take.pages);
    return take;
  }

  /** Asks the paused guest which pages are free; resolves with its answer, perhaps never. */
  askFree(): Promise<void> {
    const taken = this.takeForLater();
    this.checkpoint?.suspect(taken);
    return this.free.ask();
  }

  /** How many pages the next scan will look at as far as marks were taken; none where the guest cannot tell. */
  get unseenCount(): number {
    return this.#guest.regions.reduce((sum, { id }) => sum + (this.#unseen.of(id)?.size ?? 0), 0);
  }

  /** Pages to look at: those marked, and those whose mirror was overwritten by a restore that failed. Null for all. */
  candidates(take: DirtyTake, region: number): PageSet | null {
    const marked = take.pages[region] ?? null;
    const pages = this.suspects(region);
    if (marked === null || pages === null) return null;
    pages.addAll(marked);
    return pages;
  }

  /** Of the pages whose marks were taken already, those to look at. Null for all. */
  suspects(region: number): PageSet | null {
    const unseen = this.#unseen.of(region);
    if (unseen === null) return null;
    const pages = unseen.clone();
    pages.addAll(this.staged[region]!);
    return pages;
  }

  /** Mirror and guest agree in this run, and all marks were taken. */
  looked(region: number, { first, count }: PageRun): void {
    this.#unseen.delete(region, { first, count });
    for (let page = first; page < first + count; page++) this.staged[region]!.delete(page);
  }

  /** Hears of each page that changes in the mirror; `audited` has what was told of the region, where marks are proven. */
  listener(
    keepPrevious: boolean,
    region: number,
    audited?: { readonly told: PageSet | null },
  ): ChangeListener {
    const pending = this.pending[region]!;
    return (_, page, old) => {
      // A page that is pending already no longer holds here what it held at the last commit.
      if (keepPrevious && !pending.has(page)) this.previous.keep(region, page, old);
      this.checkpoint?.keep(region, page, old);
      this.follower?.losing(region, page, old);
      if (audited !== undefined) this.audit.see(region, page, audited.told);
    };
  }

  /** The mirror has all candidates of this take. */
  settle(take: DirtyTake): void {
    take.commit();
    this.audit.endScan();
    this.checkpoint?.suspect(this.audit.judged(take).pages);
    this.#unseen.clear();
    // Mirror and guest agree everywhere now, also where an abandoned restore had staged pages.
    for (const staged of this.staged) staged.clear();
  }

  /** The mirror is about to take a page for a restore, or with `keepPrevious` for one that leaves the base as it is. */
  stage(region: number, page: number, keepPrevious = false): void {
    const old = this.#mirror.page(region, page);
    if (keepPrevious && !this.pending[region]!.has(page)) this.previous.keep(region, page, old);
    this.checkpoint?.keep(region, page, old);
    this.follower?.losing(region, page, old);
    this.staged[region]!.add(page);
    this.pending[region]!.add(page);
  }

  /** Whether of none of these captured pages more is known than what the mirror holds. */
  isPlain(region: number, pages: Uint32Array): boolean {
    const leftOut = this.leftOut.of(region);
    return pages.every((page) => !leftOut.has(page) && !this.previous.has(region, page));
  }

  /** The guest was given what was staged. */
  settleStaged(): void {
    this.free.forget();
    const take = this.take();
    take.commit();
    this.checkpoint?.suspect(take.pages);
    // Guests need not mark what is written into them from outside.
    this.checkpoint?.suspect(this.staged);
    for (const staged of this.staged) staged.clear();
  }

  /** What the mirror holds is what the base holds. */
  forgetPending(): void {
    this.epoch++;
    for (const pages of this.pending) pages.clear();
    this.leftOut.clear();
    this.previous.clear();
  }

  /** The captured instant is safe; of the pages it left out for being free the base holds zeros. */
  settleCaptured(): void {
    this.epoch++;
    for (const pages of this.pending) pages.clear();
    this.leftOut.settle(this.pending);
    this.previous.clear();
  }

  /** A reset to the checkpoint, with the marks taken before and after it. */
  *resetSteps(checkpoint: Checkpoint): ResetSteps {
    this.free.forget();
    checkpoint.suspect(this.takeForLater());
    const isAudited = this.audit.isDue;
    const report = yield* checkpoint.reset(isAudited ? (...seen) => this.audit.see(...seen) : undefined);
    if (isAudited) this.audit.endScan();
    // What the reset itself wrote is marked too. The mirror must see it; the checkpoint holds the same already.
    if (report.pagesWritten > 0 && this.#guest.traits.tracking !== 'none') this.takeForLater();
    return report;
  }

  /** Takes the guest's marks, to be looked at by the next scan. The checkpoint must be told, too. */
  takeForLater(): readonly (PageSet | null)[] {
    const take = this.take();
    this.#unseen.add(take.pages);
    take.commit();
    return take.pages;
  }
}

// The tracker that any guest can have: it compares RAM with its mirror, or, where the guest marks what it writes,
// only the marked pages. Exact either way.
//
// Bookkeeping: `pending` holds every page whose mirror may differ from the last committed capture. A scan adds to
// it, commit empties it, and nothing else takes a page out: so a save that fails at any step forgets no page.
// A reset takes the guest's marks without looking for the mirror: they wait in `unseen` for the next scan. A scan takes
// them without looking for the checkpoint: it tells the checkpoint.

import type { OwnedBytes } from '../base/bytes.ts';
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { VitrineError } from '../base/error.ts';
import { MIB } from '../base/limits.ts';
import type { DeviceRecord, DirtyTake, Guest } from '../guest/guest.ts';
import type { Kernels } from '../kernel/kernels.ts';
import { PageSet } from '../memory/page-set.ts';
import { checkRegions, pageCountOf } from '../memory/region.ts';
import { regionOf, type Span } from '../memory/span.ts';
import { Checkpoint, type ResetSteps, resetNow, resetWaiting } from './checkpoint.ts';
import { copyAhead } from './copy-ahead.ts';
import { gatherPages } from './gather.ts';
import { MarkAudit } from './mark-audit.ts';
import { Mirror } from './mirror.ts';
import { PreviousPages } from './previous-pages.ts';
import { SuspectPages } from './suspect-pages.ts';
import { swapIn } from './swap.ts';
import type {
  AppliedRestore,
  CapturedInstant,
  CheckpointReport,
  GatheredPages,
  ResetReport,
  Tracker,
  TrackerDescription,
} from './tracker.ts';

/** Old pages kept for deltas: 4,096 of the usual size. A capture that changed more is not a small one. */
const PREVIOUS_BYTES = 16 * MIB;

export interface ScanTrackerOptions {
  /** Gives a kernel memory of its own at each call. */
  readonly openKernels: () => Promise<Kernels>;
  readonly clock?: Clock;
}

/**
 * A tracker over `guest`, which must then be used through it alone.
 *
 * The mirror takes as much memory as the guest's regions. Throws `argument-invalid` when the regions cannot be
 * those of a machine, `memory-exhausted`.
 */
export async function openScanTracker(guest: Guest, options: ScanTrackerOptions): Promise<ScanTracker> {
  checkRegions(guest.regions);
  const mirror = await Mirror.open(guest.regions, options.openKernels);
  return new ScanTracker(guest, mirror, options.clock ?? SYSTEM_CLOCK);
}

type State = 'idle' | 'captured' | 'restoring' | 'working' | 'closed';

export class ScanTracker implements Tracker {
  readonly #guest: Guest;
  readonly #mirror: Mirror;
  readonly #clock: Clock;
  readonly #pending: readonly PageSet[];
  readonly #staged: readonly PageSet[];
  readonly #previous: PreviousPages;
  /** What the guest marked since the mirror last looked, and was taken already. */
  readonly #unseen: SuspectPages;
  readonly #audit: MarkAudit;
  #checkpoint: Checkpoint | undefined;
  #state: State = 'idle';
  /** Settles when the call under way does. */
  #working: Promise<unknown> = Promise.resolve();
  #isWarm = false;
  #pausedAtMs = 0;

  constructor(guest: Guest, mirror: Mirror, clock: Clock) {
    this.#guest = guest;
    this.#mirror = mirror;
    this.#clock = clock;
    this.#pending = guest.regions.map((region) => new PageSet(pageCountOf(region)));
    this.#staged = guest.regions.map((region) => new PageSet(pageCountOf(region)));
    this.#previous = new PreviousPages(guest.regions.length, PREVIOUS_BYTES);
    this.#unseen = new SuspectPages(guest.regions);
    this.#audit = new MarkAudit(guest.traits.auditScans ?? 0);
  }

  async describe(): Promise<TrackerDescription> {
    const { machine, regions, traits } = this.#guest;
    const tierReason = this.#audit.distrust ?? traits.trackingReason;
    const isScan = traits.tracking === 'none' || this.#audit.distrust !== undefined;
    const tier = isScan ? 'scan' : traits.tracking;
    return { machine, regions, traits, tier, ...(tierReason === undefined ? {} : { tierReason }) };
  }

  async capture(options: { readonly full: boolean }): Promise<CapturedInstant> {
    return this.#enter('idle', 'captured', async () => {
      await this.#warmUp();
      let pagesScanned = 0;
      let devices: readonly DeviceRecord[] = [];
      const pauseMs = await this.#whilePaused(async () => {
        pagesScanned = await this.#scan(true);
        devices = await this.#guest.saveDevices();
      });
      return { changed: this.#changed(options.full), devices, pauseMs, pagesScanned };
    });
  }

  async readPages(region: number, pages: Uint32Array): Promise<GatheredPages> {
    this.#require('captured');
    this.#region(region, pages);
    return gatherPages(this.#mirror, this.#previous, region, pages);
  }

  async commit(): Promise<void> {
    this.#require('captured');
    this.#forgetPending();
    this.#state = 'idle';
  }

  async putBack(): Promise<void> {
    this.#require('captured');
    this.#state = 'idle';
  }

  async peek(spans: readonly Span[]): Promise<{ readonly bytes: OwnedBytes[]; readonly pauseMs: number }> {
    if (this.#state === 'closed') throw new VitrineError('guest-closed');
    for (const span of spans) regionOf(this.#guest.regions, span);
    const bytes = spans.map((span) => new Uint8Array(span.lengthBytes));
    const pauseMs = await this.#whilePaused(async () => {
      for (const [index, span] of spans.entries()) await this.#guest.readPages(span, bytes[index]!);
    });
    return { bytes, pauseMs };
  }

  async beginRestore(options: {
    readonly full: boolean;
  }): Promise<{ readonly changed: readonly Uint32Array<ArrayBuffer>[] }> {
    return this.#enter('idle', 'restoring', async () => {
      await this.#guest.pause();
      this.#pausedAtMs = this.#clock.nowMs();
      try {
        await this.#scan(false);
      } catch (error) {
        await this.#guest.resume();
        throw error;
      }
      return { changed: this.#changed(options.full) };
    });
  }

  async stagePages(region: number, pages: Uint32Array, bytes: OwnedBytes): Promise<void> {
    this.#require('restoring');
    const { pageBytes } = this.#region(region, pages);
    if (bytes.length !== pages.length * pageBytes) {
      throw new VitrineError('argument-invalid', { name: 'bytes', length: bytes.length });
    }
    for (const [index, page] of pages.entries()) {
      this.#stage(region, page);
      this.#mirror.write(region, page, bytes.subarray(index * pageBytes, (index + 1) * pageBytes));
    }
  }

  async stageZeros(region: number, pages: Uint32Array): Promise<void> {
    this.#require('restoring');
    this.#region(region, pages);
    for (const page of pages) {
      this.#stage(region, page);
      this.#mirror.writeZeros(region, page);
    }
  }

  async applyRestore(devices: readonly DeviceRecord[]): Promise<AppliedRestore> {
    this.#require('restoring');
    this.#state = 'working';
    const working = this.#swapIn(devices);
    this.#working = working.catch(() => {});
    return working;
  }

  async abandonRestore(): Promise<void> {
    this.#require('restoring');
    await this.#endRestore();
  }

  async checkpoint(): Promise<CheckpointReport> {
    return this.#enter('idle', 'idle', async () => {
      await this.#warmUp();
      let pagesScanned = 0;
      const pauseMs = await this.#whilePaused(async () => {
        pagesScanned = await this.#scan(true);
        const devices = await this.#guest.saveDevices();
        this.#checkpoint ??= new Checkpoint(this.#guest, this.#mirror);
        this.#checkpoint.moveHere(devices);
      });
      return { pauseMs, pagesScanned };
    });
  }

  async resetToCheckpoint(): Promise<ResetReport> {
    return this.#enter('idle', 'idle', async () =>
      resetWaiting(this.#guest, this.#resetSteps(this.#requireCheckpoint())),
    );
  }

  /**
   * As `resetToCheckpoint`, at once, for a loop in the guest's own thread; also while a captured instant is encoded.
   *
   * Throws `unsupported` when the guest cannot rest at once, `guest-not-quiescent` when it cannot now.
   */
  resetNow(): ResetReport {
    if (this.#state !== 'captured') this.#require('idle');
    return resetNow(this.#guest, this.#resetSteps(this.#requireCheckpoint()));
  }

  async dropCheckpoint(): Promise<void> {
    this.#require('idle');
    this.#checkpoint = undefined;
  }

  async reset(): Promise<void> {
    await this.#working;
    if (this.#state === 'captured') this.#state = 'idle';
    else if (this.#state === 'restoring') await this.#endRestore();
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#checkpoint = undefined;
    await this.#guest.close();
  }

  async #warmUp(): Promise<void> {
    if (this.#isWarm) return;
    await copyAhead(this.#guest, this.#mirror, this.#pending);
    this.#isWarm = true;
  }

  #changed(full: boolean): Uint32Array<ArrayBuffer>[] {
    const sets = full
      ? this.#guest.regions.map((region) => this.#mirror.nonZeroPages(region.id))
      : this.#pending;
    return sets.map((pages) => pages.words.slice());
  }

  async #swapIn(devices: readonly DeviceRecord[]): Promise<AppliedRestore> {
    try {
      const pagesWritten = await swapIn(this.#guest, this.#mirror, this.#staged, devices);
      this.#takeMarks();
      this.#forgetPending();
      return { pauseMs: this.#clock.nowMs() - this.#pausedAtMs, pagesWritten };
    } finally {
      await this.#endRestore();
    }
  }

  /** Makes the mirror equal to the guest and every page that differed pending. */
  async #scan(keepPrevious: boolean): Promise<number> {
    const take = this.#audit.judged(this.#guest.takeDirty());
    const isAudited = this.#audit.isDue;
    let scanned = 0;
    try {
      for (const { id } of this.#guest.regions) {
        const pending = this.#pending[id]!;
        const candidates = this.#candidates(take, id);
        const listener = (region: number, page: number, old: Uint8Array): void => {
          // A page that is pending already no longer holds here what it held at the last commit.
          if (keepPrevious && !pending.has(page)) this.#previous.keep(region, page, old);
          this.#checkpoint?.keep(region, page, old);
          if (isAudited) this.#audit.see(region, page, candidates);
        };
        scanned += await this.#mirror.scan(this.#guest, id, isAudited ? null : candidates, pending, listener);
      }
    } catch (error) {
      take.putBack();
      throw error;
    }
    take.commit();
    this.#audit.endScan();
    this.#checkpoint?.suspect(this.#audit.judged(take).pages);
    this.#unseen.clear();
    // Mirror and guest agree everywhere now, also where an abandoned restore had staged pages.
    for (const staged of this.#staged) staged.clear();
    return scanned;
  }

  /** Pages to look at: those marked, and those whose mirror was overwritten by a restore that failed. */
  #candidates(take: DirtyTake, region: number): PageSet | null {
    const marked = take.pages[region] ?? null;
    const unseen = this.#unseen.of(region);
    if (marked === null || unseen === null) return null;
    const pages = marked.clone();
    pages.addAll(unseen);
    pages.addAll(this.#staged[region]!);
    return pages;
  }

  #takeMarks(): void {
    const take = this.#audit.judged(this.#guest.takeDirty());
    take.commit();
    this.#checkpoint?.suspect(take.pages);
    // Guests need not mark what is written into them from outside.
    this.#checkpoint?.suspect(this.#staged);
    for (const staged of this.#staged) staged.clear();
  }

  *#resetSteps(checkpoint: Checkpoint): ResetSteps {
    checkpoint.suspect(this.#takeForLater());
    const isAudited = this.#audit.isDue;
    const report = yield* checkpoint.reset(isAudited ? (...seen) => this.#audit.see(...seen) : undefined);
    if (isAudited) this.#audit.endScan();
    // What the reset itself wrote is marked too. The mirror must see it; the checkpoint holds the same already.
    if (report.pagesWritten > 0 && this.#guest.traits.tracking !== 'none') this.#takeForLater();
    return report;
  }

  /** Takes the guest's marks, to be looked at by the next scan. */
  #takeForLater(): readonly (PageSet | null)[] {
    const take = this.#audit.judged(this.#guest.takeDirty());
    this.#unseen.add(take.pages);
    take.commit();
    return take.pages;
  }

  #requireCheckpoint(): Checkpoint {
    if (this.#checkpoint !== undefined) return this.#checkpoint;
    throw new VitrineError('wrong-state', { actual: 'no checkpoint', required: 'a checkpoint' });
  }

  #stage(region: number, page: number): void {
    this.#checkpoint?.keep(region, page, this.#mirror.page(region, page));
    this.#staged[region]!.add(page);
    this.#pending[region]!.add(page);
  }

  #forgetPending(): void {
    for (const pages of this.#pending) pages.clear();
    this.#previous.clear();
  }

  async #endRestore(): Promise<void> {
    this.#state = 'idle';
    await this.#guest.resume();
  }

  async #whilePaused(work: () => Promise<void>): Promise<number> {
    await this.#guest.pause();
    const startMs = this.#clock.nowMs();
    try {
      await work();
    } finally {
      await this.#guest.resume();
    }
    return this.#clock.nowMs() - startMs;
  }

  /** Runs `work` between two states; on failure the tracker is back where it was. */
  async #enter<T>(from: State, to: State, work: () => Promise<T>): Promise<T> {
    this.#require(from);
    this.#state = 'working';
    const working = work();
    this.#working = working.catch(() => {});
    try {
      const result = await working;
      this.#state = to;
      return result;
    } catch (error) {
      this.#state = from;
      throw error;
    }
  }

  #require(state: State): void {
    if (this.#state === 'closed') throw new VitrineError('guest-closed');
    if (this.#state !== state)
      throw new VitrineError('wrong-state', { actual: this.#state, required: state });
  }

  #region(region: number, pages: Uint32Array) {
    const found = this.#guest.regions[region];
    if (found === undefined) throw new VitrineError('span-out-of-range', { region });
    const pageCount = pageCountOf(found);
    for (const page of pages) {
      if (page >= pageCount) throw new VitrineError('span-out-of-range', { region, page, pageCount });
    }
    return found;
  }
}

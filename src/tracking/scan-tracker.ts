// The tracker that any guest can have: it compares RAM with its mirror, or, where the guest marks what it writes,
// only the marked pages. Exact either way.
//
// Here are the states and what may be called in which; which pages differ from whom is in `page-ledger.ts`.

import type { OwnedBytes } from '../base/bytes.ts';
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { VitrineError } from '../base/error.ts';
import { loadPart } from '../base/part.ts';
import type { DeviceRecord, Guest, PauseNeeds } from '../guest/guest.ts';
import type { Kernels } from '../kernel/kernels.ts';
import { checkRegions } from '../memory/region.ts';
import type { Span } from '../memory/span.ts';
import { askFree } from './ask-free.ts';
import { checkPages } from './check-pages.ts';
import { copyAhead, warmUpSlices } from './copy-ahead.ts';
import { DoorbellService } from './doorbell-service.ts';
import type { EpochReport, FollowedTracker, Follower, Instant } from './follower.ts';
import { gatherPages } from './gather.ts';
import { Mirror } from './mirror.ts';
import { PageLedger } from './page-ledger.ts';
import { peekGuest } from './peek.ts';
import { swapIn } from './swap.ts';
import type {
  AppliedRestore,
  CapturedInstant,
  CaptureOptions,
  CheckpointReport,
  GatheredPages,
  LiveOptions,
  LocalPeekOptions,
  PeekedBytes,
  ResetReport,
  TrackerDescription,
} from './tracker.ts';
import { type ChooseInstant, travelTo } from './travel.ts';

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

/** What an instant is made of beside memory. */
const INSTANT: PauseNeeds = { marks: true, devices: true };

type State = 'idle' | 'captured' | 'restoring' | 'working' | 'closed';

export class ScanTracker implements FollowedTracker {
  readonly doorbell: DoorbellService;
  readonly #guest: Guest;
  readonly #mirror: Mirror;
  readonly #clock: Clock;
  readonly #ledger: PageLedger;
  #state: State = 'idle';
  /** Settles when the call under way does. */
  #working: Promise<unknown> = Promise.resolve();
  /** Ends the live capture under way. */
  #liveCapture: AbortController | undefined;
  /** Settles when the follower's calls have been served; null when there are none. */
  #history: Promise<unknown> | null = null;
  #isWarm = false;
  #pausedAtMs = 0;

  constructor(guest: Guest, mirror: Mirror, clock: Clock) {
    this.#guest = guest;
    this.#mirror = mirror;
    this.#clock = clock;
    this.#ledger = new PageLedger(guest, mirror);
    this.doorbell = new DoorbellService(guest, this);
  }

  async describe(): Promise<TrackerDescription> {
    const { machine, regions, traits } = this.#guest;
    return { machine, regions, traits, ...this.#ledger.tier };
  }

  async capture({ full, live, skipFree = false }: CaptureOptions): Promise<CapturedInstant> {
    return this.#enter('idle', 'captured', async () => {
      if (skipFree && this.#isWarm) await askFree(this.#guest, this.#ledger, this.#clock);
      else if (skipFree) this.#ledger.free.askAtNextTake();
      const instant =
        live === undefined ? await this.#captureStopped(full) : await this.#captureLive(full, live);
      this.#ledger.follower?.captured(this.#instant(instant.devices));
      const pagesSkippedFree = this.#ledger.leftOut.choose(instant.changed, full, skipFree);
      return { ...instant, pagesSkippedFree };
    });
  }

  async cancelCapture(): Promise<void> {
    this.#liveCapture?.abort();
  }

  async readPages(region: number, pages: Uint32Array): Promise<GatheredPages> {
    this.#require('captured');
    checkPages(this.#guest.regions, region, pages);
    return gatherPages(this.#mirror, this.#ledger.previous, region, pages, this.#ledger.leftOut.of(region));
  }

  async commit(): Promise<void> {
    this.#require('captured');
    this.#ledger.settleCaptured();
    // Pages that were left out are pending still.
    this.#ledger.follower?.committed(this.#ledger.pending.every((pages) => pages.isEmpty));
    this.#state = 'idle';
  }

  async putBack(): Promise<void> {
    this.#require('captured');
    this.#state = 'idle';
  }

  async peek(spans: readonly Span[], options: LocalPeekOptions = {}): Promise<PeekedBytes> {
    if (this.#state === 'closed') throw new VitrineError('guest-closed');
    return peekGuest(this.#guest, spans, options, (work) => this.#whilePaused(work));
  }

  async beginRestore(options: {
    readonly full: boolean;
  }): Promise<{ readonly changed: readonly Uint32Array<ArrayBuffer>[] }> {
    return this.#enter('idle', 'restoring', async () => {
      await this.#guest.pause({ marks: true });
      this.#pausedAtMs = this.#clock.nowMs();
      try {
        await this.#ledger.scan(false);
      } catch (error) {
        await this.#guest.resume();
        throw error;
      }
      return { changed: this.#ledger.changed(options.full) };
    });
  }

  async stagePages(region: number, pages: Uint32Array, bytes: OwnedBytes): Promise<void> {
    this.#require('restoring');
    const { pageBytes } = checkPages(this.#guest.regions, region, pages);
    if (bytes.length !== pages.length * pageBytes) {
      throw new VitrineError('argument-invalid', { name: 'bytes', length: bytes.length });
    }
    for (const [index, page] of pages.entries()) {
      this.#ledger.stage(region, page);
      this.#mirror.write(region, page, bytes.subarray(index * pageBytes, (index + 1) * pageBytes));
    }
  }

  async stageZeros(region: number, pages: Uint32Array): Promise<void> {
    this.#require('restoring');
    checkPages(this.#guest.regions, region, pages);
    for (const page of pages) {
      this.#ledger.stage(region, page);
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
      const { Checkpoint } = await loadPart('checkpoint', () => import('./checkpoint.ts'));
      await this.#warmUp();
      let pagesScanned = 0;
      const pauseMs = await this.#whilePaused(async () => {
        pagesScanned = await this.#ledger.scan(true);
        const devices = await this.#guest.saveDevices();
        this.#ledger.checkpoint ??= new Checkpoint(this.#guest, this.#mirror);
        this.#ledger.checkpoint.moveHere(devices);
      }, INSTANT);
      return { pauseMs, pagesScanned };
    });
  }

  async resetToCheckpoint(): Promise<ResetReport> {
    return this.#enter('idle', 'idle', async () => {
      const checkpoint = this.#requireCheckpoint();
      return checkpoint.runWaiting(this.#ledger.resetSteps(checkpoint));
    });
  }

  /**
   * As `resetToCheckpoint`, at once, for a loop in the guest's own thread; also while a captured instant is encoded.
   *
   * Throws `unsupported` when the guest cannot rest at once, `guest-not-quiescent` when it cannot now.
   */
  resetNow(): ResetReport {
    if (this.#state !== 'captured') this.#require('idle');
    const checkpoint = this.#requireCheckpoint();
    return checkpoint.runNow(this.#ledger.resetSteps(checkpoint));
  }

  async dropCheckpoint(): Promise<void> {
    await this.#quiet();
    this.#require('idle');
    this.#ledger.checkpoint = undefined;
  }

  async follow(follower: Follower | null): Promise<void> {
    if (follower === null) {
      this.#ledger.follower = null;
      return;
    }
    await this.#enter('idle', 'idle', async () => {
      if (this.#ledger.follower !== null) throw new VitrineError('busy', { underWay: 'followed by another' });
      await this.#warmUp();
      this.#ledger.follower = follower;
    });
  }

  async epoch(see: (instant: Instant) => void): Promise<EpochReport> {
    return this.#aside(async () => {
      const { devices, ...report } = await this.#freeze();
      see(this.#instant(devices));
      return report;
    });
  }

  async travel(choose: ChooseInstant, arrived: () => void = () => {}): Promise<AppliedRestore> {
    return this.#aside(async () => {
      let pagesWritten = 0;
      const pauseMs = await this.#whilePaused(async () => {
        pagesWritten = await travelTo(this.#guest, this.#mirror, this.#ledger, choose);
        arrived();
      }, INSTANT);
      return { pauseMs, pagesWritten };
    });
  }

  hold(): Promise<void> {
    return this.#guest.pause();
  }

  release(): Promise<void> {
    return this.#guest.resume();
  }

  async reset(): Promise<void> {
    this.doorbell.leave();
    this.#liveCapture?.abort();
    await this.#quiet();
    await this.#working;
    if (this.#state === 'captured') this.#state = 'idle';
    else if (this.#state === 'restoring') await this.#endRestore();
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#ledger.checkpoint = undefined;
    this.#ledger.follower = null;
    this.#ledger.free.close();
    await this.doorbell.stop();
    await this.#guest.close();
  }

  async #captureStopped(full: boolean): Promise<CapturedInstant> {
    await this.#warmUp();
    const frozen = await this.#freeze();
    return { changed: this.#ledger.changed(full), ...frozen };
  }

  /** Brings the mirror up to date in a pause. */
  async #freeze(): Promise<Omit<CapturedInstant, 'changed'>> {
    let pagesScanned = 0;
    let devices: readonly DeviceRecord[] = [];
    const pauseMs = await this.#whilePaused(async () => {
      pagesScanned = await this.#ledger.scan(true);
      devices = await this.#guest.saveDevices();
    }, INSTANT);
    return { devices, pauseMs, pagesScanned, epoch: this.#ledger.epoch };
  }

  async #captureLive(full: boolean, live: LiveOptions): Promise<CapturedInstant> {
    this.#liveCapture = new AbortController();
    try {
      const clock = this.#clock;
      const { captureLive, liveSlices } = await loadPart('live capture', () => import('./live-capture.ts'));
      const slices = liveSlices(clock, this.#liveCapture.signal);
      if (this.#guest.streamInstant === undefined) await this.#warmUp(slices);
      const parts = { guest: this.#guest, mirror: this.#mirror, ledger: this.#ledger, clock, slices };
      return await captureLive(parts, { ...live, full, stopped: () => this.#captureStopped(full) });
    } finally {
      this.#liveCapture = undefined;
    }
  }

  async #warmUp(slices = warmUpSlices(this.#clock)): Promise<void> {
    if (this.#isWarm) return;
    await copyAhead(this.#guest, this.#mirror, this.#ledger.pending, slices, () => this.#ledger.take());
    this.#isWarm = true;
  }

  async #swapIn(devices: readonly DeviceRecord[]): Promise<AppliedRestore> {
    try {
      const pagesWritten = await swapIn(this.#guest, this.#mirror, this.#ledger.staged, devices);
      this.#ledger.settleStaged();
      this.#ledger.forgetPending();
      return { pauseMs: this.#clock.nowMs() - this.#pausedAtMs, pagesWritten };
    } finally {
      await this.#endRestore();
    }
  }

  #requireCheckpoint(): NonNullable<PageLedger['checkpoint']> {
    const { checkpoint } = this.#ledger;
    if (checkpoint !== undefined) return checkpoint;
    throw new VitrineError('wrong-state', { actual: 'no checkpoint', required: 'a checkpoint' });
  }

  async #endRestore(): Promise<void> {
    this.#state = 'idle';
    await this.#guest.resume();
  }

  async #whilePaused(work: () => Promise<void>, needs: PauseNeeds = {}): Promise<number> {
    await this.#guest.pause(needs);
    const startMs = this.#clock.nowMs();
    try {
      await work();
    } finally {
      await this.#guest.resume();
    }
    return this.#clock.nowMs() - startMs;
  }

  #instant(devices: readonly DeviceRecord[]): Instant {
    return { devices, page: (region, page) => this.#mirror.page(region, page) };
  }

  /** Runs `work` between two states; on failure the tracker is back where it was. */
  async #enter<T>(from: State, to: State, work: () => Promise<T>): Promise<T> {
    if (this.#history !== null) await this.#quiet();
    return this.#run(from, to, work);
  }

  /** Runs the follower's `work`, for which other calls wait. */
  #aside<T>(work: () => Promise<T>): Promise<T> {
    const run = () => this.#run('idle', 'idle', work);
    const running = this.#history === null ? run() : this.#history.then(run);
    const history = running
      .catch(() => {})
      .then(() => {
        if (this.#history === history) this.#history = null;
      });
    this.#history = history;
    return running;
  }

  /** Waits for the follower's work under way. */
  async #quiet(): Promise<void> {
    while (this.#history !== null) await this.#history;
  }

  async #run<T>(from: State, to: State, work: () => Promise<T>): Promise<T> {
    this.#require(from);
    this.#state = 'working';
    const working = work();
    this.#working = working.catch(() => {});
    try {
      const result = await working;
      this.#settle(to);
      return result;
    } catch (error) {
      this.#settle(from);
      throw error;
    }
  }

  /** The call under way has ended; the tracker may have been closed meanwhile. */
  #settle(state: State): void {
    if (this.#state !== 'closed') this.#state = state;
  }

  #require(state: State): void {
    if (this.#state === 'closed') throw new VitrineError('guest-closed');
    if (this.#state !== state)
      throw new VitrineError('wrong-state', { actual: this.#state, required: state });
  }
}

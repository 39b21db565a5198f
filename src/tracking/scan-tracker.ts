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
import { freeze } from './freeze.ts';
import { gatherPages } from './gather.ts';
import { Mirror } from './mirror.ts';
import type { MirrorOrigin } from './mirror-origin.ts';
import type { MirrorScanner, OpenMirrorScanner } from './mirror-scanner.ts';
import { PageLedger } from './page-ledger.ts';
import { peekGuest } from './peek.ts';
import { Phase } from './phase.ts';
import { INSTANT, whileAtRest } from './rest.ts';
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
  SharedPages,
  TrackerDescription,
} from './tracker.ts';
import { type ChooseInstant, travelTo } from './travel.ts';

export interface ScanTrackerOptions {
  /** Gives a kernel memory of its own at each call. */
  readonly openKernels: () => Promise<Kernels>;
  /** Threads that compare memory, where the kernels' memories are shared and there are some. */
  readonly openScanner?: OpenMirrorScanner;
  /** What the guest was made of, for one whose marks tell all that it wrote since: nothing else of it is ever looked at. */
  readonly origin?: MirrorOrigin;
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
  const mirror = await Mirror.open(guest.regions, options.openKernels, options.origin);
  return new ScanTracker(guest, mirror, options.clock ?? SYSTEM_CLOCK, options.openScanner?.(mirror));
}

type PhaseName = 'idle' | 'captured' | 'restoring';

export class ScanTracker implements FollowedTracker {
  readonly doorbell: DoorbellService;
  readonly #guest: Guest;
  readonly #mirror: Mirror;
  readonly #clock: Clock;
  readonly #scanner: MirrorScanner | undefined;
  readonly #ledger: PageLedger;
  readonly #phase = new Phase<PhaseName>('idle');
  /** Ends the live capture under way. */
  #liveCapture: AbortController | undefined;
  /** Settles when the follower's calls have been served; null when there are none. */
  #history: Promise<unknown> | null = null;
  #isWarm = false;
  #pausedAtMs = 0;

  constructor(guest: Guest, mirror: Mirror, clock: Clock, scanner?: MirrorScanner) {
    this.#guest = guest;
    this.#mirror = mirror;
    this.#isWarm = mirror.hasOrigin;
    this.#clock = clock;
    this.#scanner = scanner;
    this.#ledger = new PageLedger(guest, mirror, scanner);
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
    this.#phase.require('captured');
    checkPages(this.#guest.regions, region, pages);
    return gatherPages(this.#mirror, this.#ledger.previous, region, pages, this.#ledger.leftOut.of(region));
  }

  sharedPages(region: number, pages: Uint32Array): SharedPages | undefined {
    this.#phase.require('captured');
    checkPages(this.#guest.regions, region, pages);
    const shared = this.#mirror.sharedPages(region, pages);
    return shared !== undefined && this.#ledger.isPlain(region, pages) ? shared : undefined;
  }

  async commit(): Promise<void> {
    this.#phase.require('captured');
    this.#ledger.settleCaptured();
    // Pages that were left out are pending still.
    this.#ledger.follower?.committed(this.#ledger.pending.every((pages) => pages.isEmpty));
    this.#phase.become('idle');
  }

  async putBack(): Promise<void> {
    this.#phase.require('captured');
    this.#phase.become('idle');
  }

  async peek(spans: readonly Span[], options: LocalPeekOptions = {}): Promise<PeekedBytes> {
    this.#phase.requireOpen();
    return peekGuest(this.#guest, spans, options, (work) => this.#whilePaused(work));
  }

  async beginRestore(options: {
    readonly full: boolean;
  }): Promise<{ readonly changed: readonly Uint32Array<ArrayBuffer>[] }> {
    return this.#enter('idle', 'restoring', async () => {
      await this.#scanner?.prepare();
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
    this.#phase.require('restoring');
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
    this.#phase.require('restoring');
    checkPages(this.#guest.regions, region, pages);
    for (const page of pages) {
      this.#ledger.stage(region, page);
      this.#mirror.writeZeros(region, page);
    }
  }

  async applyRestore(devices: readonly DeviceRecord[]): Promise<AppliedRestore> {
    return this.#phase.run('restoring', 'idle', () => this.#swapIn(devices), 'idle');
  }

  async abandonRestore(): Promise<void> {
    this.#phase.require('restoring');
    this.#phase.become('idle');
    await this.#guest.resume();
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
    if (!this.#phase.is('captured')) this.#phase.require('idle');
    const checkpoint = this.#requireCheckpoint();
    return checkpoint.runNow(this.#ledger.resetSteps(checkpoint));
  }

  async dropCheckpoint(): Promise<void> {
    await this.#quiet();
    this.#phase.require('idle');
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
    await this.#phase.ended();
    if (this.#phase.is('captured')) this.#phase.become('idle');
    else if (this.#phase.is('restoring')) await this.abandonRestore();
  }

  async close(): Promise<void> {
    if (this.#phase.is('closed')) return;
    this.#phase.close();
    this.#ledger.checkpoint = undefined;
    this.#ledger.follower = null;
    this.#ledger.free.close();
    await this.doorbell.stop();
    this.#scanner?.close();
    this.#mirror.close();
    await this.#guest.close();
  }

  async #captureStopped(full: boolean): Promise<CapturedInstant> {
    // What its user stopped does not change while it is copied: that copy is the instant.
    const isStopped = !this.#isWarm && (await this.#guest.isRunning?.()) === false;
    if (isStopped) await this.#guest.pause(INSTANT);
    try {
      await this.#warmUp();
      const frozen = await this.#freeze(isStopped);
      return { changed: this.#ledger.changed(full), ...frozen };
    } finally {
      if (isStopped) await this.#guest.resume();
    }
  }

  #freeze(isUpToDate = false): Promise<Omit<CapturedInstant, 'changed'>> {
    return freeze({ guest: this.#guest, ledger: this.#ledger, clock: this.#clock }, isUpToDate);
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
    if (this.#isWarm) {
      await this.#scanner?.prepare();
      return;
    }
    const { pending } = this.#ledger;
    const source = this.#scanner ?? this.#mirror;
    await copyAhead(this.#guest, source, pending, slices, () => this.#ledger.take());
    this.#isWarm = true;
  }

  async #swapIn(devices: readonly DeviceRecord[]): Promise<AppliedRestore> {
    try {
      const pagesWritten = await swapIn(this.#guest, this.#mirror, this.#ledger.staged, devices);
      this.#ledger.settleStaged();
      this.#ledger.forgetPending();
      return { pauseMs: this.#clock.nowMs() - this.#pausedAtMs, pagesWritten };
    } finally {
      await this.#guest.resume();
    }
  }

  #requireCheckpoint(): NonNullable<PageLedger['checkpoint']> {
    const { checkpoint } = this.#ledger;
    if (checkpoint !== undefined) return checkpoint;
    throw new VitrineError('wrong-state', { actual: 'no checkpoint', required: 'a checkpoint' });
  }

  #whilePaused(work: () => Promise<void>, needs?: PauseNeeds): Promise<number> {
    return whileAtRest(this.#guest, this.#clock, work, needs);
  }

  #instant(devices: readonly DeviceRecord[]): Instant {
    return { devices, page: (region, page) => this.#mirror.page(region, page) };
  }

  /** Runs `work` between two states; on failure the tracker is back where it was. */
  async #enter<T>(from: PhaseName, to: PhaseName, work: () => Promise<T>): Promise<T> {
    if (this.#history !== null) await this.#quiet();
    return this.#phase.run(from, to, work);
  }

  /** Runs the follower's `work`, for which other calls wait. */
  #aside<T>(work: () => Promise<T>): Promise<T> {
    const run = () => this.#phase.run('idle', 'idle', work);
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
}

// The tracker of guests that are too large to be copied: it holds a digest of each page in place of a mirror. Exact, too.
//
//   guest at rest ──read and digested in threads──▶ differs from its digest? ──▶ pending, and copied aside while there is room
//
//   pending   differs from the last committed capture. A scan adds to it, commit empties it, and nothing else takes a page out.
//   kept      copies of the captured pages, up to a bound. Pages beyond it are left in the guest, which rests until they have
//             been read: so memory is bounded, and a guest that wrote much waits.
//   ahead     stored while the guest ran on, before the capture, so that hardly anything is left to wait for.
//   streamed  a live capture: an instant that the guest's process sends while the guest runs, stored part by part as it comes.
//   staged    waits to be put into the guest, in files. A page that the guest holds zeros in is written there at once: there is
//             nothing to lose, and zeros are what it gets back.
//
// What needs the old content of pages it cannot give: deltas against what a page held before, and checkpoints, which the engine stores.

import { assert } from '../base/assert.ts';
import type { OwnedBytes } from '../base/bytes.ts';
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { VitrineError } from '../base/error.ts';
import type { DeviceRecord, Guest, StreamedInstant } from '../guest/guest.ts';
import { PageSet } from '../memory/page-set.ts';
import { checkRegions, pageCountOf } from '../memory/region.ts';
import type { Span } from '../memory/span.ts';
import { AheadPages } from './ahead-pages.ts';
import { checkPages } from './check-pages.ts';
import { DigestLive } from './digest-live.ts';
import type { DigestScanner, StagingArea } from './digest-scanner.ts';
import { DoorbellService } from './doorbell-service.ts';
import { withoutPast } from './gather.ts';
import { LeftPages } from './left-pages.ts';
import { restReport, streamReport } from './live-reports.ts';
import { peekGuest } from './peek.ts';
import { Phase } from './phase.ts';
import { type RunsToRead, readRuns } from './read-runs.ts';
import { emptySets, fullSets, instantOf } from './region-sets.ts';
import { INSTANT, Rest, whileAtRest } from './rest.ts';
import { StagedSwap } from './staged-swap.ts';
import type {
  AheadOptions,
  AppliedRestore,
  CapturedInstant,
  CaptureOptions,
  CheckpointReport,
  GatheredPages,
  PageFile,
  PeekedBytes,
  PeekOptions,
  ResetReport,
  Tracker,
  TrackerDescription,
} from './tracker.ts';

export interface DigestTrackerParts {
  readonly guest: Guest;
  readonly scanner: DigestScanner;
  readonly staging: StagingArea;
  readonly clock?: Clock;
  /** With more pages to save than that, they are stored ahead; 8,192 when left out: 32 MiB, some 50 ms of a guest at rest. */
  readonly fewPages?: number;
  /** What a live capture hands out at a time; there are two of them. 32 MiB when left out. */
  readonly partBytes?: number;
}

type PhaseName = 'idle' | 'ahead' | 'captured' | 'restoring';

const REASON = 'it is too large for a copy of its memory: a digest a page tells what changed';
const FEW_PAGES = 8192;

export class DigestTracker implements Tracker {
  readonly doorbell: DoorbellService;
  readonly #guest: Guest;
  readonly #scanner: DigestScanner;
  readonly #swap: StagedSwap;
  readonly #rest: Rest;
  readonly #clock: Clock;
  readonly #fewPages: number;
  readonly #live: DigestLive;
  readonly #pending: readonly PageSet[];
  /** Of the pages that differ, those that were stored ahead and did not change since. Null where nothing was. */
  #ahead: AheadPages | null = null;
  /** Captured pages whose only copy is the guest. It rests as long as there are some. */
  readonly #left: LeftPages;
  #isHeld = false;
  #epoch = 0;
  readonly #phase = new Phase<PhaseName>('idle');

  /** Over a guest that must then be used through it alone. Throws `argument-invalid` for regions that no machine can have. */
  constructor({
    guest,
    scanner,
    staging,
    clock = SYSTEM_CLOCK,
    fewPages = FEW_PAGES,
    partBytes,
  }: DigestTrackerParts) {
    this.#fewPages = fewPages;
    checkRegions(guest.regions);
    this.#guest = guest;
    this.#scanner = scanner;
    this.#live = new DigestLive(guest, scanner, partBytes);
    this.#swap = new StagedSwap(guest, scanner, staging);
    this.#rest = new Rest(guest, clock);
    this.#clock = clock;
    this.#pending = emptySets(this.#guest.regions);
    this.#left = new LeftPages(guest.regions, scanner);
    this.doorbell = new DoorbellService(guest, {
      checkpoint: () => this.checkpoint(),
      resetNow: refuseCheckpoint,
      resetToCheckpoint: () => this.resetToCheckpoint(),
    });
  }

  async describe(): Promise<TrackerDescription> {
    const { machine, regions, traits } = this.#guest;
    const { tier = 'scan', tierReason = REASON } = this.#scanner.tier ?? {};
    return { machine, regions, traits, tier, tierReason, checkpoints: 'stored' };
  }

  async captureAhead({ full, live = false }: AheadOptions): Promise<CapturedInstant | null> {
    const isFirst = this.#ahead === null;
    this.#phase.require(isFirst ? 'idle' : 'ahead');
    const isWorthIt = isFirst && (full || (await this.#soundOut()) > this.#fewPages);
    if (!isWorthIt && !live) return null;
    const look = async (): Promise<CapturedInstant | null> => {
      try {
        return isWorthIt ? await this.#lookAhead(full, live) : await this.#nextStreamed(full);
      } catch (error) {
        await this.#endAhead();
        throw error;
      }
    };
    return this.#phase.run(isFirst ? 'idle' : 'ahead', 'ahead', look, 'idle');
  }

  async storedAhead(region: number, pages: Uint32Array, digests: Uint8Array): Promise<void> {
    this.#phase.require('ahead');
    checkPages(this.#guest.regions, region, pages);
    for (const [index, page] of pages.entries()) {
      this.#scanner.learn(region, page, digests.subarray(index * 32, index * 32 + 32), true);
      this.#pending[region]!.add(page);
      this.#ahead!.add(region, page);
    }
  }

  async capture({ full, live, hold = false }: CaptureOptions): Promise<CapturedInstant> {
    const { instant: told, refusal } = this.#live;
    if (told !== null) return this.#phase.run('ahead', 'captured', () => this.#takeStreamed(told));
    const take = async (): Promise<CapturedInstant> => {
      await this.#rest.begin(INSTANT);
      try {
        const changed = emptySets(this.#guest.regions);
        const ahead = this.#ahead;
        const keep = ahead === null ? (full ? fullSets(this.#guest.regions) : this.#pending) : ahead.left();
        try {
          await this.#scanner.scan(changed, keep);
        } finally {
          for (const [region, pages] of changed.entries()) this.#pending[region]!.addAll(pages);
        }
        const devices = await this.#guest.saveDevices();
        const captured = ahead?.left(this.#different(full)) ?? this.#different(full);
        if (ahead !== null) for (const [region, pages] of captured.entries()) pages.addAll(changed[region]!);
        this.#left.note(captured);
        this.#isHeld = hold;
        const instant = instantOf(captured, this.#scanner.lookedCount);
        if (this.#left.isEmpty && !hold) await this.#rest.end();
        const pauseMs = this.#rest.ms;
        const report = live === undefined ? {} : { live: restReport(pauseMs, refusal ?? REASON) };
        return { ...instant, devices, pauseMs, epoch: this.#epoch, ...report };
      } catch (error) {
        await this.#endAhead();
        await this.#rest.end();
        throw error;
      }
    };
    // What was stored ahead is put back with a capture that fails.
    return this.#phase.run(this.#ahead === null ? 'idle' : 'ahead', 'captured', take, 'idle');
  }

  async cancelCapture(): Promise<void> {
    this.#live.giveUp();
  }

  async readPages(region: number, pages: Uint32Array): Promise<GatheredPages> {
    if (!this.#phase.is('ahead')) this.#phase.require('captured');
    const { pageBytes } = checkPages(this.#guest.regions, region, pages);
    if (this.#live.hasPart) return withoutPast(this.#live.read(region, pages, pageBytes));
    const bytes = new Uint8Array(pages.length * pageBytes);
    if (this.#phase.is('ahead')) {
      await this.#readRuns(region, { pages }, bytes);
      return withoutPast(bytes);
    }
    const wanted = new Set<number>();
    for (const [index, page] of pages.entries()) {
      const kept = this.#scanner.kept(region, page);
      if (kept !== undefined) bytes.set(kept, index * pageBytes);
      else if (!this.#scanner.isZero(region, page)) wanted.add(index);
    }
    if (wanted.size > 0) {
      // Without a copy, and the guest ran on: what the page held at that instant is gone.
      assert(this.#rest.isOn, 'pages that were not captured are read of a guest that is held');
      await this.#readRuns(region, { pages, wanted }, bytes);
      for (const index of wanted) this.#left.drop(region, pages[index]!);
      if (this.#left.isEmpty && !this.#isHeld) await this.#rest.end();
    }
    return { ...withoutPast(bytes), pauseMs: this.#rest.ms };
  }

  fileAhead(region: number): PageFile | undefined {
    return this.#phase.is('ahead') && !this.#live.hasPart ? this.#scanner.fileOf(region) : undefined;
  }

  async commit(): Promise<void> {
    this.#phase.require('captured');
    for (const pages of this.#pending) pages.clear();
    this.#epoch++;
    await this.#endCapture();
  }

  async putBack(): Promise<void> {
    if (!this.#phase.is('ahead')) this.#phase.require('captured');
    await this.#endCapture();
  }

  async peek(spans: readonly Span[], options: PeekOptions = {}): Promise<PeekedBytes> {
    this.#phase.requireOpen();
    return peekGuest(this.#guest, spans, options, (work) => whileAtRest(this.#guest, this.#clock, work));
  }

  async beginRestore({
    full,
  }: {
    readonly full: boolean;
  }): Promise<{ readonly changed: readonly Uint32Array<ArrayBuffer>[] }> {
    return this.#phase.run('idle', 'restoring', async () => {
      // What its devices are is of no matter: a guest whose restore was cut off is mended by another one.
      await this.#rest.begin({ marks: true });
      try {
        await this.#scanner.scan(this.#pending);
      } catch (error) {
        await this.#rest.end();
        throw error;
      }
      return { changed: this.#different(full).map(({ words }) => words) };
    });
  }

  async stagePages(
    region: number,
    pages: Uint32Array,
    bytes: OwnedBytes,
    digests?: Uint8Array,
  ): Promise<void> {
    this.#phase.require('restoring');
    const { pageBytes } = checkPages(this.#guest.regions, region, pages);
    if (bytes.length !== pages.length * pageBytes) {
      throw new VitrineError('argument-invalid', { name: 'bytes', length: bytes.length });
    }
    for (const page of pages) this.#pending[region]!.add(page);
    await this.#swap.stage(region, pages, bytes, digests);
  }

  async stageZeros(region: number, pages: Uint32Array): Promise<void> {
    this.#phase.require('restoring');
    checkPages(this.#guest.regions, region, pages);
    for (const page of pages) this.#pending[region]!.add(page);
    this.#swap.stageZeros(region, pages);
  }

  async applyRestore(devices: readonly DeviceRecord[]): Promise<AppliedRestore> {
    const apply = async (): Promise<AppliedRestore> => {
      try {
        const pagesWritten = await this.#swap.apply(devices);
        for (const pages of this.#pending) pages.clear();
        this.#epoch++;
        return { pauseMs: this.#rest.ms, pagesWritten };
      } finally {
        await this.#rest.end();
      }
    };
    // Over in either case.
    return this.#phase.run('restoring', 'idle', apply, 'idle');
  }

  async abandonRestore(): Promise<void> {
    this.#phase.require('restoring');
    await this.#endRestore();
  }

  /** Throws `unsupported`: what pages held before is not kept. */
  async checkpoint(): Promise<CheckpointReport> {
    return refuseCheckpoint();
  }

  /** Throws `unsupported`, as `checkpoint`. */
  async resetToCheckpoint(): Promise<ResetReport> {
    return refuseCheckpoint();
  }

  /** There never is one. */
  async dropCheckpoint(): Promise<void> {
    this.#phase.require('idle');
  }

  async reset(): Promise<void> {
    this.doorbell.leave();
    this.#live.giveUp();
    await this.#phase.ended();
    if (this.#phase.is('captured') || this.#phase.is('ahead')) await this.#endCapture();
    else if (this.#phase.is('restoring')) await this.#endRestore();
  }

  async close(): Promise<void> {
    if (this.#phase.is('closed')) return;
    this.#phase.close();
    this.#live.giveUp();
    await this.doorbell.stop();
    this.#swap.forget();
    await this.#guest.close();
  }

  /** About how many pages differ. A guest that wrote much would wait for all of it. */
  #soundOut(): Promise<number> {
    return this.#phase.run('idle', 'idle', () => this.#scanner.soundOut(this.#pending));
  }

  /** What the running guest holds in pages that differ. */
  async #lookAhead(full: boolean, live: boolean): Promise<CapturedInstant> {
    // Digests are made of what is stored, and of all in the pause, unless marks shorten that: more of them would be in vain.
    const isEnough = full && !live && this.#scanner.tier?.tier !== 'marks';
    const nonZero = emptySets(this.#guest.regions);
    await (isEnough ? this.#scanner.findNonZero(nonZero) : this.#scanner.scan(this.#pending));
    const planned = isEnough ? nonZero : this.#different(full);
    this.#ahead = new AheadPages(planned);
    return { ...instantOf(planned), devices: [], pauseMs: 0, epoch: this.#epoch };
  }

  /** The next part of a live capture; null where all has come, or none does. */
  async #nextStreamed(full: boolean): Promise<CapturedInstant | null> {
    this.#ahead ??= new AheadPages(this.#different(full));
    const pages = await this.#live.next(() => this.#ahead!.left());
    return pages && { ...instantOf(pages), devices: [], pauseMs: 0, epoch: this.#epoch };
  }

  async #takeStreamed({ devices, pauseMs }: StreamedInstant): Promise<CapturedInstant> {
    const captured = this.#live.take();
    for (const [region, pages] of captured.entries()) this.#pending[region]!.addAll(pages);
    const instant = instantOf(captured);
    const live = streamReport(pauseMs);
    return { ...instant, pagesScanned: 0, devices, pauseMs, epoch: this.#epoch, live };
  }

  /** What was stored ahead is in pages that count as changed still. */
  async #endAhead(): Promise<void> {
    this.#ahead = null;
    await this.#live.end();
  }

  /** Pages that a snapshot told from the last committed capture, or with `full` from zeros, has to look at. */
  #different(full: boolean): PageSet[] {
    if (!full) return this.#pending.map((pages) => pages.clone());
    return this.#guest.regions.map((region) => {
      const pages = new PageSet(pageCountOf(region));
      for (let page = 0; page < pages.pageCount; page++) {
        if (!this.#scanner.isZero(region.id, page)) pages.add(page);
      }
      return pages;
    });
  }

  /** Of a guest that runs, a page is what was read of it. */
  #readRuns(region: number, runs: Omit<RunsToRead, 'region'>, into: OwnedBytes): Promise<void> {
    return readRuns({ region: this.#guest.regions[region]!, ...runs }, into, (span, target) => {
      if (!this.#phase.is('ahead')) return this.#guest.readPages(span, target);
      if (this.#guest.readTorn === undefined) refuse('reading a guest that runs');
      return this.#guest.readTorn(span, target);
    });
  }

  async #endCapture(): Promise<void> {
    await this.#endAhead();
    this.#left.clear();
    this.#phase.become('idle');
    await this.#rest.end();
  }

  async #endRestore(): Promise<void> {
    this.#phase.become('idle');
    await this.#swap.abandon().finally(() => this.#rest.end());
  }
}

const refuseCheckpoint = (): never => refuse('a copy of its memory');

function refuse(missing: string): never {
  throw new VitrineError('unsupported', { missing, reason: REASON });
}

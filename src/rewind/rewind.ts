// Rewind: a guest's recent past in a budget of bytes, any point of which it can go back to, and on from.
//
//   recording ──seek──▶ scrubbing ──seek…──▶ scrubbing ──resume──▶ recording       (from there: the old future is a branch)
//       └─ bookmarks alone fill the budget ─▶ full ──forget, seek, stop──▶
//
// At each epoch the guest rests shortly; what changed is encoded when it runs again. A seek is all or nothing and exact. Jobs
// are done one after another; an epoch that finds another job under way is skipped, and counted.

import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import { Pacing } from '../base/pacing.ts';
import type { Codecs } from '../codec/codec.ts';
import type { DeviceRecord } from '../guest/guest.ts';
import type { FollowedTracker, Instant } from '../tracking/follower.ts';
import { composeArrival } from './arrival.ts';
import { deltaOfRecords } from './delta.ts';
import { type Admitted, History, type Taken } from './history.ts';
import { Intake } from './intake.ts';
import type { RewindOptions } from './open-rewind.ts';
import { rebuildHistory } from './reopen.ts';
import {
  type EpochOutcome,
  type RewindPoint,
  type RewindState,
  type RewindStats,
  RewindTally,
  type SeekReport,
} from './rewind-report.ts';
import type { FlushReport, OpenedHistory, RewindStore } from './rewind-store.ts';
import type { Point, PointId } from './timeline.ts';
import type { Units } from './units.ts';

/** Work in one go between two turns of a guest of the same thread: an eighth of a frame at 60 Hz. */
const SLICE_MS = 2;
/** Codes that say that the guest or its tracker is at something else: the next epoch will do. */
const NOT_NOW = ['wrong-state', 'guest-not-quiescent', 'busy'] as const;

/** A save's instant: its point, unless it was the head, and its records. */
interface Capture {
  readonly taken: Taken | null;
  readonly head: Point;
  readonly devices: readonly DeviceRecord[];
  /** Whether the snapshot holds all its pages, those too that the guest said are free. */
  readonly isWhole: boolean;
}

export class Rewind {
  readonly #tracker: FollowedTracker;
  readonly #units: Units;
  readonly #clock: Clock;
  readonly #codecs: Codecs;
  readonly #intake: Intake;
  readonly #history: History;
  readonly #tally = new RewindTally();
  /** Instants taken and not admitted yet, in their order. */
  readonly #taken: Taken[] = [];
  #state: RewindState = 'recording';
  #isSuspended = false;
  #isHeld = false;
  #jobs = 0;
  #lastJob: Promise<unknown> = Promise.resolve();
  #ranMs = 0;
  #sinceMs = 0;
  /** The capture under way, and those that were committed since a flush began. */
  #capture: Capture | null = null;
  #committed: Capture[] = [];

  /** Use `openRewind`. */
  constructor(
    tracker: FollowedTracker,
    units: Units,
    options: RewindOptions & { readonly budgetBytes: number; readonly maxPoints: number },
  ) {
    this.#tracker = tracker;
    this.#units = units;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#codecs = options.codecs;
    this.#intake = new Intake(units);
    this.#history = new History({ whenFull: 'hold', ...options }, this.#tally);
  }

  /** Called once, by `openRewind` and `reopenRewind`; with a stored history when the guest is at its anchor and held there. */
  async start(stored?: OpenedHistory): Promise<void> {
    await this.#tracker.follow({
      losing: (region, page, bytes) => this.#intake.lose(region, page, bytes),
      captured: (instant) => this.#takeCapture(instant),
      committed: (isWhole) => {
        if (this.#capture !== null) this.#committed.push({ ...this.#capture, isWhole });
        this.#capture = null;
      },
    });
    const found = stored === undefined ? undefined : rebuildHistory(stored, this.#units, this.#codecs);
    await this.#tracker.epoch(({ devices }) => {
      this.#intake.settleAt(found?.devices ?? devices);
      this.#sinceMs = this.#clock.nowMs();
      this.#ranMs = found?.head.atMs ?? 0;
      if (found === undefined) this.#history.begin(this.#fieldsNow());
    });
    if (found !== undefined) await this.#history.beginWith(found.tree, found.head, this.#breathe());
  }

  get state(): RewindState {
    return this.#state;
  }

  /** Takes a point now: what a timer calls, or an emulator after a frame. */
  async epoch(): Promise<EpochOutcome> {
    if (this.#state !== 'recording' || this.#isSuspended || this.#jobs > 0) {
      return this.#tally.skip(this.#isSuspended ? 'suspended' : 'busy');
    }
    return this.#doing(async () => {
      try {
        const report = await this.#tracker.epoch((instant) => this.#take(instant));
        this.#tally.pause(report);
      } catch (error) {
        if (NOT_NOW.some((code) => isVitrineError(error, code))) return this.#tally.skip('busy');
        throw error;
      }
      const added = await this.#admitAll(null);
      return this.#tally.took(added);
    });
  }

  /** Time that the last epoch took of the guest's, encoding included. */
  get lastWorkMs(): number {
    return this.#tally.lastWorkMs;
  }

  /** Counts epochs that a timer left out, so that the guest keeps its pace. */
  fallBehind(epochs: number): void {
    this.#tally.fallBehind(epochs);
  }

  /** Whether epochs are left out: while the machine runs faster than it should, or nobody sees it. */
  setSuspended(isSuspended: boolean): void {
    this.#isSuspended = isSuspended;
  }

  /** The points that can be gone to, oldest first: those of the timeline, or with `branches` all. */
  points(options: { readonly branches?: boolean } = {}): RewindPoint[] {
    this.#requireOpen();
    return this.#history.list(options.branches ?? false);
  }

  stats(): RewindStats {
    return this.#tally.report(this.#history, this.#state, this.#isSuspended);
  }

  /**
   * Takes the guest to a point and holds it there; memory and devices are as they were, byte for byte. Where it was is a
   * point, too.
   *
   * All or nothing: on failure the guest is as it was. Throws `not-found`, `rewind-full`, and what tracker and guest throw.
   */
  async seek(id: PointId): Promise<SeekReport> {
    return this.#doing(async () => {
      const target = this.#find(id);
      const pacing = this.#pacing();
      await this.#hold();
      let pointsPassed = 0;
      let arriving: readonly DeviceRecord[] = [];
      try {
        const { pagesWritten } = await this.#tracker.travel(
          async (here) => {
            this.#take(here);
            await this.#admitAll(target);
            // A change too large for the budget begins history anew.
            this.#find(id);
            const way = this.#history.wayTo(target);
            pointsPassed = way.length;
            const journey = { devices: this.#intake.devices, way, shape: target.shape };
            const breathe = () => pacing.breathe();
            arriving = await composeArrival(here, journey, this.#units, this.#codecs, breathe);
            return arriving;
          },
          () => this.#arrive(target, arriving),
        );
        return { pointsPassed, pagesWritten, workMs: pacing.workedMs };
      } catch (error) {
        if (this.#state === 'recording') await this.#letGo();
        throw error;
      }
    });
  }

  /**
   * Lets the guest go on from the point it was taken to. What came after that point is a branch then, kept while there is
   * room. While recording it does nothing. Throws `rewind-full` while bookmarks hold the guest.
   */
  async resume(): Promise<void> {
    return this.#doing(async () => {
      if (this.#state === 'full') throw this.#history.fullError();
      if (this.#state !== 'scrubbing') return;
      this.#history.settleTip();
      this.#state = 'recording';
      this.#sinceMs = this.#clock.nowMs();
      await this.#letGo();
    });
  }

  /**
   * Gives a point a label; it is then never thinned out or dropped.
   *
   * Throws `not-found`, `argument-invalid` for an empty or too long label, and `rewind-full` when bookmarks would take more
   * than half of the budget.
   */
  async bookmark(id: PointId, label: string): Promise<void> {
    return this.#doing(async () => this.#history.bookmark(this.#find(id), label));
  }

  /** Takes a label away. Throws `not-found`. */
  async forget(id: PointId): Promise<void> {
    return this.#doing(async () => {
      this.#find(id).label = null;
      if (this.#state !== 'full' || !(await this.#history.admitWaiting(this.#breathe()))) return;
      this.#state = 'recording';
      await this.#letGo();
    });
  }

  /**
   * Keeps the history in a store: `save` makes a snapshot of the guest, with an engine on the same tracker, and answers with
   * its id. The history is told from that; without it it cannot be opened again. It has to hold all pages: the save is made
   * with `freePages: 'keep'`, else it is refused as `argument-invalid`.
   *
   * The first flush writes all, later ones what is new. On failure the one before is as it was. Throws `busy` when another
   * save came between, `rewind-full`, and what `save` and the store throw.
   */
  async flush(store: RewindStore, save: () => Promise<string>): Promise<FlushReport> {
    this.beginFlush();
    return this.endFlush(store, await save());
  }

  /** The first half of `flush`, for a save that is made elsewhere. */
  beginFlush(): void {
    this.#requireOpen();
    this.#committed = [];
  }

  /** The second half: `anchor` is the one snapshot saved since. */
  async endFlush(store: RewindStore, anchor: string): Promise<FlushReport> {
    return this.#doing(async () => {
      this.#requireOpen();
      await this.#admitAll(null);
      if (this.#state === 'full') throw this.#history.fullError();
      const [capture, another] = this.#committed;
      const point = capture?.taken === null ? capture.head : capture?.taken.point;
      if (capture === undefined || another !== undefined || this.#history.find(point?.id ?? 0) !== point) {
        throw new VitrineError('busy', { underWay: 'another save' });
      }
      if (!capture.isWhole) {
        throw new VitrineError('argument-invalid', { name: 'save', reason: 'free pages were left out' });
      }
      const { tree } = this.#history;
      return store.flush({
        ...{ anchor, anchorPoint: point!.id, tip: tree.tip.id, nextId: tree.nextId },
        regions: (await this.#tracker.describe()).regions,
        recordNames: this.#units.recordNames,
        records: deltaOfRecords(capture.devices, this.#units, this.#codecs),
        points: [...tree.points()],
      });
    });
  }

  /** Ends the history and lets the guest go on where it is. May be called again. */
  async stop(): Promise<void> {
    if (this.#state === 'stopped') return;
    return this.#doing(async () => {
      if (this.#state === 'stopped') return;
      this.#state = 'stopped';
      await this.#tracker.follow(null);
      this.#taken.length = 0;
      this.#intake.settleAt([]);
      await this.#letGo();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #take(instant: Instant): Taken | null {
    const { devices: before } = this.#intake;
    const change = this.#intake.take(instant.devices, (region, page) => instant.page(region, page));
    // A guest that is held does nothing, but what it says of its devices may come out another way.
    if (this.#state === 'scrubbing' && !change.touchesMemory) {
      change.release();
      this.#intake.settleAt(before);
      return null;
    }
    const taken = { change, fields: this.#fieldsNow() };
    this.#taken.push(taken);
    return taken;
  }

  #takeCapture(instant: Instant): void {
    if (this.#state === 'stopped') return;
    const taken = this.#take(instant);
    this.#capture = { taken, head: this.#history.head, devices: this.#intake.devices, isWhole: false };
    void this.#doing(() => this.#admitAll(null)).catch(() => {});
  }

  /** Gives all instants taken their points. Returns whether there is a new one. */
  async #admitAll(target: Point | null): Promise<boolean> {
    let isNew = false;
    const pacing = this.#pacing();
    for (let taken = this.#taken.shift(); taken !== undefined; taken = this.#taken.shift()) {
      const admitted: Admitted = await this.#history.admit(taken, target, () => pacing.breathe());
      taken.change.release();
      if (admitted !== 'full') taken.point = this.#history.head;
      isNew ||= admitted === 'new';
      if (admitted === 'full') {
        this.#state = 'full';
        await this.#hold();
      }
    }
    this.#tally.work(pacing.workedMs);
    return isNew;
  }

  #arrive(target: Point, devices: readonly DeviceRecord[]): void {
    this.#intake.settleAt(devices);
    this.#history.settleAt(target);
    this.#ranMs = target.atMs;
    this.#state = 'scrubbing';
  }

  #fieldsNow() {
    const nowMs = this.#clock.nowMs();
    if (this.#state === 'recording') this.#ranMs += nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
    return { shape: this.#intake.shape, atMs: this.#ranMs, wallMs: this.#clock.wallMs() };
  }

  #find(id: PointId): Point {
    this.#requireOpen();
    const point = this.#history.find(id);
    if (point === undefined) throw new VitrineError('not-found', { point: id });
    return point;
  }

  #requireOpen(): void {
    if (this.#state === 'stopped')
      throw new VitrineError('wrong-state', { actual: 'stopped', required: 'open' });
  }

  async #hold(): Promise<void> {
    if (this.#isHeld) return;
    await this.#tracker.hold();
    this.#isHeld = true;
  }

  async #letGo(): Promise<void> {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    // A guest that was closed meanwhile rests for good.
    await this.#tracker.release().catch(() => {});
  }

  #pacing(): Pacing {
    return new Pacing(this.#clock, SLICE_MS);
  }

  #breathe(): () => Promise<void> {
    const pacing = this.#pacing();
    return () => pacing.breathe();
  }

  /** One job at a time, in the order in which they came. */
  async #doing<T>(work: () => Promise<T>): Promise<T> {
    this.#jobs++;
    const job = this.#lastJob.then(work);
    this.#lastJob = job.catch(() => {});
    try {
      return await job;
    } finally {
      this.#jobs--;
    }
  }
}

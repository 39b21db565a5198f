// The recent past of a host's machine, kept by itself: a snapshot every so often, thinned to stay within a budget of bytes. Points are
// snapshots like any others: they can be restored, looked into, compared and forked, and outlive the host.
//
//   tick ─▶ runs? not busy? ─▶ save ─▶ over the budget? thin, and collect now and then ─▶ the book is written ─▶ next tick
//
// All of that takes at most a tenth of the time, but for the first point, which looks at all memory: where saves cost more, points come less
// often. What a point adds is what its save wrote, and layers of disks; when one between two others goes, the later one inherits what both
// did not write. The oldest point's own bytes do not count, since any past needs one whole state.

import type { Clock } from '../base/clock.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { labelFits } from '../engine/save.ts';
import type { SnapshotId } from '../engine/snapshot.ts';
import type { Vitrine } from '../engine/vitrine.ts';
import type { HostMachine } from './host.ts';
import { type ReadLayers, RecordedLayers } from './recorded-layers.ts';
import type { PastPoint, RecordingBook } from './recording-book.ts';
import { chooseToDrop, commonShare, pastBytes } from './recording-thinning.ts';

/** The label of snapshots that it makes. */
export const RECORDED_LABEL = 'rewind';
/** The most that it takes of the time. */
const MAX_SHARE = 0.1;
/** It ends after so many failures in a row. */
const MAX_FAILURES = 5;
/** Freed bytes after which they are given back, as a part of the budget. */
const COLLECT_AFTER = 0.25;

export interface RecordingParts {
  readonly engine: Vitrine;
  readonly machine: () => HostMachine | undefined;
  /** Writes the book; null removes it. */
  readonly keep: (book: RecordingBook | null) => Promise<void>;
  /** What its snapshots stand on beside the store; nothing when left out. */
  readonly layersOf?: ReadLayers | undefined;
  /** Gives back what deleted snapshots held. */
  readonly collect: () => Promise<unknown>;
  readonly clock: Clock;
  /** Does something later; returns how to call it off. */
  readonly wait: (task: () => void, ms: number) => () => void;
}

export class Recording {
  readonly #parts: RecordingParts;
  readonly #layers: RecordedLayers;
  /** What counts of them. */
  #layerBytes = 0;
  #book: RecordingBook;
  #skippedCount = 0;
  /** What the last point cost; the first of a process, which looks at all memory, is not counted. */
  #workMs = 0;
  #hasTaken = false;
  #failures = 0;
  #failure: string | null = null;
  #freedBytes = 0;
  #isLeft = false;
  #cancel: () => void = () => {};
  /** Settles when all that was asked for so far is done: one thing at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(book: RecordingBook, parts: RecordingParts) {
    this.#book = book;
    this.#parts = parts;
    this.#layers = new RecordedLayers(parts.layersOf);
  }

  /** Of a book as it was left. Throws what reading its points' snapshots throws. */
  static async open(book: RecordingBook, parts: RecordingParts): Promise<Recording> {
    const recording = new Recording(book, parts);
    recording.#layerBytes = await recording.#layers.pastBytes(book.points);
    return recording;
  }

  get book(): RecordingBook {
    return this.#book;
  }

  /** Milliseconds from one point to the next, as they come at the moment: as asked for, or more where saves cost much. */
  get paceMs(): number {
    return Math.max(this.#book.everyMs, this.#workMs / MAX_SHARE);
  }

  /** Times at which there was nothing to save: it rested, or was saved or restored for somebody else. */
  get skippedCount(): number {
    return this.#skippedCount;
  }

  /** The code of what went wrong last; null when all is well. */
  get failure(): string | null {
    return this.#failure;
  }

  /** Bytes of the past, as the budget counts them. */
  get bytes(): number {
    return pastBytes(this.#book.points) + this.#layerBytes;
  }

  /** Begins, or goes on with another pace or budget. The first point is now. */
  async start({ everyMs, budgetBytes }: Pick<RecordingBook, 'everyMs' | 'budgetBytes'>): Promise<void> {
    await this.#inTurn(async () => {
      this.#failures = 0;
      this.#failure = null;
      await this.#keep({ ...this.#book, everyMs, budgetBytes, isOn: true });
    });
    this.#cancel();
    this.#waitFor(0);
  }

  /** Takes no more points; those that there are stay, or go but for bookmarks with `forget`. */
  async stop({ forget = false } = {}): Promise<void> {
    this.#cancel();
    await this.#inTurn(async () => {
      const { points } = this.#book;
      const kept = forget ? points.filter(({ bookmark }) => bookmark !== null) : points;
      await this.#delete(points.filter((point) => !kept.includes(point)));
      await this.#keep({ ...this.#book, isOn: false, points: kept });
      if (forget) await this.#collect();
    });
    // A point that was under way when it was asked for made itself a next time.
    this.#cancel();
  }

  /** Takes no more points in this process: the next host goes on with it. */
  async leave(): Promise<void> {
    this.#isLeft = true;
    this.#cancel();
    await this.#turn;
  }

  /** Points whose snapshots are there still, oldest first. */
  async points(): Promise<readonly PastPoint[]> {
    const there = new Set(await this.#parts.engine.ids());
    return this.#book.points.filter(({ snapshot }) => there.has(snapshot));
  }

  /** Never thinned out from now on, under a name; null takes it back. Throws `not-found`, `argument-invalid`, `rewind-full`. */
  mark(snapshot: SnapshotId, bookmark: string | null): Promise<void> {
    return this.#inTurn(async () => {
      if (bookmark !== null && (bookmark === '' || !labelFits(bookmark))) {
        throw new VitrineError('argument-invalid', { name: 'label', maxBytes: LIMITS.maxLabelBytes });
      }
      const { points, budgetBytes } = this.#book;
      if (!points.some((point) => point.snapshot === snapshot))
        throw new VitrineError('not-found', { snapshot });
      const next = points.map((point) => (point.snapshot === snapshot ? { ...point, bookmark } : point));
      const pinned = pastBytes(next.filter((point) => point.bookmark !== null));
      if (bookmark !== null && pinned > budgetBytes / 2) {
        throw new VitrineError('rewind-full', { bookmarksBytes: pinned, budgetBytes });
      }
      await this.#keep({ ...this.#book, points: next });
    });
  }

  /** Takes a point now. False where there was nothing to save. */
  epoch(): Promise<boolean> {
    return this.#inTurn(() => this.#epoch());
  }

  /**
   * Takes a point of a machine that is held, to be brought elsewhere: what it did until then can be come back to. Does nothing while it is
   * off, and where bookmarks leave no room for it. Throws what a save throws.
   */
  keepPresent(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#isEnded) return;
      await this.#epoch(['running', 'paused']).catch((error: unknown) => {
        if (!isVitrineError(error, 'rewind-full')) throw error;
      });
    });
  }

  /** Whether no more points come by themselves. */
  get #isEnded(): boolean {
    return !this.#book.isOn || this.#isLeft;
  }

  async #epoch(inStates: readonly HostMachine['state'][] = ['running']): Promise<boolean> {
    const host = this.#parts.machine();
    const machine = host !== undefined && inStates.includes(host.state) ? host.machine : null;
    if (machine === null) return false;
    // Full of bookmarks: nothing is added until there is room.
    await this.#thin(machine.base);
    try {
      const { snapshot } = await machine.save({ label: RECORDED_LABEL, effort: 'fast' });
      const { id, parent, createdAtMs, statistics } = snapshot;
      const bytes = statistics.bytesWritten;
      const point: PastPoint = { snapshot: id, parent, atMs: createdAtMs, bytes, bookmark: null };
      // One that could not be written down is found by its label, and nobody thins it.
      await this.#keep({ ...this.#book, points: [...this.#book.points, point] });
      await this.#thin(machine.base).catch((error: unknown) => {
        // The next one is told.
        if (!isVitrineError(error, 'rewind-full')) throw error;
      });
      return true;
    } catch (error) {
      if (isVitrineError(error, 'busy')) return false;
      // It ended while it was saved.
      if (host === undefined || !inStates.includes(host.state)) return false;
      throw error;
    }
  }

  async #thin(base: SnapshotId | null): Promise<void> {
    const { budgetBytes } = this.#book;
    for (;;) {
      const { points } = this.#book;
      this.#layerBytes = await this.#layers.pastBytes(points);
      const isOver = this.bytes > budgetBytes || points.length > LIMITS.maxRecordedPoints;
      const dropped = isOver ? chooseToDrop(points, base, this.#parts.clock.wallMs()) : undefined;
      if (dropped === undefined) {
        if (isOver) throw new VitrineError('rewind-full', { bytes: this.bytes, budgetBytes });
        return;
      }
      await this.#drop(dropped);
      // Layers may be merged by it, and then fewer points have to go.
      if (this.#freedBytes >= budgetBytes * COLLECT_AFTER) await this.#collect();
    }
  }

  async #collect(): Promise<void> {
    this.#freedBytes = 0;
    await this.#parts.collect();
    this.#layers.forget();
    this.#layerBytes = await this.#layers.pastBytes(this.#book.points);
  }

  async #drop(dropped: PastPoint): Promise<void> {
    const { points } = this.#book;
    const heir = points.find(({ parent }) => parent === dropped.snapshot);
    // What it wrote and the next one wrote again is needed by nobody.
    const share = heir === undefined ? 1 : await this.#shareInCommon(dropped, heir);
    const inherited = Math.round(dropped.bytes * (1 - share));
    const layerBytes = await this.#layers.ownBytes(dropped);
    await this.#delete([dropped]);
    this.#freedBytes += dropped.bytes - inherited + layerBytes;
    const next = points
      .filter((point) => point !== dropped)
      .map((point) => (point === heir ? { ...point, bytes: point.bytes + inherited } : point))
      .map((point) => (point.parent === dropped.snapshot ? { ...point, parent: dropped.parent } : point));
    await this.#keep({ ...this.#book, points: next });
  }

  async #shareInCommon({ snapshot, parent }: PastPoint, heir: PastPoint): Promise<number> {
    const { engine } = this.#parts;
    try {
      const before = parent === null ? null : await engine.diff(parent, snapshot);
      return commonShare(before, await engine.diff(snapshot, heir.snapshot));
    } catch (error) {
      if (!isVitrineError(error)) throw error;
      // One of them is gone: all of it may be needed still.
      return 0;
    }
  }

  async #delete(points: readonly PastPoint[]): Promise<void> {
    for (const { snapshot } of points) {
      await this.#parts.engine.delete([snapshot]).catch((error: unknown) => {
        // Somebody else removed it.
        if (!isVitrineError(error, 'not-found')) throw error;
      });
    }
  }

  async #keep(book: RecordingBook): Promise<void> {
    this.#book = book;
    await this.#parts.keep(book.points.length === 0 && !book.isOn ? null : book);
  }

  /** One next time at most. */
  #waitFor(ms: number): void {
    this.#cancel();
    this.#cancel = this.#parts.wait(() => void this.#tick(), ms);
  }

  /** Never throws: what goes wrong is there to be read. */
  async #tick(): Promise<void> {
    const { clock } = this.#parts;
    const startMs = clock.nowMs();
    let isFirst = false;
    try {
      // Asked in its turn: it may end before that.
      const isTaken = await this.#inTurn(async () => (this.#isEnded ? null : await this.#epoch()));
      if (isTaken === null) return;
      if (!isTaken) this.#skippedCount++;
      else {
        this.#failure = null;
        isFirst = !this.#hasTaken;
        this.#hasTaken = true;
      }
      this.#failures = 0;
    } catch (error) {
      this.#failure = isVitrineError(error) ? error.code : 'internal';
      // Whoever forgets a bookmark makes room.
      if (this.#failure !== 'rewind-full' && ++this.#failures >= MAX_FAILURES) {
        await this.#inTurn(() => this.#keep({ ...this.#book, isOn: false })).catch(() => {});
        return;
      }
    }
    if (this.#isEnded) return;
    const tookMs = clock.nowMs() - startMs;
    this.#workMs = isFirst ? 0 : tookMs;
    this.#waitFor(Math.max(0, this.paceMs - tookMs));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}

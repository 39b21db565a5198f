// A machine: one guest with its tracker, under an engine. It knows which snapshot the guest is told from, its base.
//
// One save or restore at a time; a second one throws `busy`. Peeks may come at any time.

import { isVitrineError, VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { loadPart } from '../base/part.ts';
import { throwIfAborted } from '../base/work.ts';
import type { Digest } from '../format/digest.ts';
import { pageCountOf } from '../memory/region.ts';
import type {
  CapturedInstant,
  CheckpointReport,
  LocalPeekOptions,
  PeekedBytes,
  ResetReport,
  Tracker,
  TrackerDescription,
} from '../tracking/tracker.ts';
import type { DiffReport } from './diff.ts';
import type { ServeDoorbellOptions, ServedDoorbell } from './doorbell.ts';
import type { EngineParts } from './engine-parts.ts';
import { joinSpans, type PeekRange, spansOf } from './peek.ts';
import type { PartSink, PeekPartsOptions } from './peek-parts.ts';
import { type RestoreOptions, type RestoreReport, restoreSnapshot } from './restore.ts';
import {
  type Base,
  labelFits,
  type SaveOptions,
  type SaveReport,
  type StoredAhead,
  saveInstant,
  storeAhead,
} from './save.ts';
import { checkSameMachine, headRef, type SnapshotId, snapshotRef } from './snapshot.ts';
import { StoredCheckpoint } from './stored-checkpoint.ts';

/** How the machine finds snapshots; the engine gives it. */
export type FindSnapshot = (idOrPrefix: SnapshotId) => Promise<Base>;

/** Runs work with the store shared, up to date with what others did to it. */
export type Sharing = <T>(work: () => Promise<T>) => Promise<T>;

export class Machine {
  readonly name: string;
  readonly #parts: EngineParts;
  readonly #tracker: Tracker;
  readonly #find: FindSnapshot;
  readonly #sharing: Sharing;
  readonly #release: () => void;
  /** What the guest is told from. */
  #base: Base | null = null;
  /** The snapshot that it goes on from: its base, where that is no checkpoint. */
  #last: Base | null = null;
  readonly #checkpoint: StoredCheckpoint;
  #work: string | null = null;
  #target: SnapshotId | null = null;

  constructor(
    name: string,
    tracker: Tracker,
    parts: EngineParts,
    find: FindSnapshot,
    sharing: Sharing,
    release: () => void,
  ) {
    this.name = name;
    this.#tracker = tracker;
    this.#parts = parts;
    this.#find = find;
    this.#sharing = sharing;
    this.#release = release;
    this.#checkpoint = new StoredCheckpoint(parts.store);
  }

  /** The snapshot the guest goes on from: the last one saved, restored, or noted. */
  get base(): SnapshotId | null {
    return this.#last?.id ?? null;
  }

  /** The snapshot that the guest is just being brought to; null at other times. */
  get target(): SnapshotId | null {
    return this.#target;
  }

  describe(): Promise<TrackerDescription> {
    return this.#tracker.describe();
  }

  /**
   * Saves the guest as it is now; it rests only while changed pages are found and copied.
   *
   * Resolves when the snapshot is durable. On failure the guest runs on, nothing is saved and no changed page is
   * forgotten: the next save has them all. Throws `busy`, `aborted`, `argument-invalid`, and what guest and store throw.
   */
  async save(options: SaveOptions = {}): Promise<SaveReport> {
    if (options.label !== undefined && !labelFits(options.label)) {
      throw new VitrineError('argument-invalid', { name: 'label', maxBytes: LIMITS.maxLabelBytes });
    }
    const ringBytes = options.live?.bufferBytes ?? 0;
    if (!Number.isSafeInteger(ringBytes) || ringBytes < 0) {
      throw new VitrineError('argument-invalid', { name: 'live.bufferBytes', value: ringBytes });
    }
    throwIfAborted(options.signal);
    return this.#exclusively('save', () =>
      this.#sharing(async () => {
        const saved = await this.#save(options);
        await this.#standOn(saved, saved);
        await this.#moveHead(saved.digest);
        return saved.report;
      }),
    );
  }

  /**
   * Brings the guest to a snapshot; only pages that differ are written.
   *
   * All or nothing: on failure the guest runs on as it was. Throws `busy`, `not-found`, `name-ambiguous`,
   * `guest-mismatch`, `guest-state-invalid`, `object-missing`, `object-damaged`, `aborted`.
   */
  async restore(snapshot: SnapshotId, options: RestoreOptions = {}): Promise<RestoreReport> {
    throwIfAborted(options.signal);
    return this.#exclusively('restore', () =>
      this.#sharing(async () => {
        const target = await this.#find(snapshot);
        const base = await this.#presentBase();
        this.#target = target.id;
        const report = await restoreSnapshot(this.#parts, this.#tracker, base, target, options);
        await this.#standOn(target, target);
        await this.#moveHead(target.digest);
        return report;
      }),
    ).finally(() => {
      this.#target = null;
    });
  }

  /**
   * Tells the guest from a snapshot from now on without bringing it there: for one that was made of it and has not run. Nothing of the
   * snapshot is read. The caller answers for it: of a guest that holds something else, later saves would be wrong.
   *
   * Throws `busy`, `not-found`, `name-ambiguous`, `guest-mismatch`, and what the guest throws; the base stays then.
   */
  async standOn(snapshot: SnapshotId): Promise<void> {
    return this.#exclusively('restore', () =>
      this.#sharing(async () => {
        const target = await this.#find(snapshot);
        const { machine, regions } = await this.#tracker.describe();
        checkSameMachine(target.manifest, machine, regions);
        await this.#tracker.capture({ full: false });
        await this.#tracker.commit();
        await this.#standOn(target, target);
        await this.#moveHead(target.digest);
      }),
    );
  }

  /** Notes that the guest goes on from a snapshot: the next one's parent. Nothing is assumed of its memory. Throws as `Vitrine.show`. */
  async goOnFrom(snapshot: SnapshotId): Promise<void> {
    this.#last = await this.#find(snapshot);
    await this.#moveHead(this.#last.digest);
  }

  /**
   * Makes this instant the point that `reset` goes back to, in place of an earlier one. It lies in the guest's tracker,
   * and is gone with it: a snapshot is what lasts. Of a guest too large for that it is a snapshot, listed as
   * `checkpoint of NAME`, which goes with it, too.
   *
   * On failure the guest runs on, and an earlier checkpoint stays. Throws `busy`, `part-unavailable`, and what the guest,
   * and the store, throw.
   */
  checkpoint(): Promise<CheckpointReport> {
    return this.#exclusively('checkpoint', async () => {
      if (!(await this.#storesCheckpoints())) return this.#tracker.checkpoint();
      return this.#sharing(async () => {
        const saved = await this.#save({ label: StoredCheckpoint.labelOf(this.name), freePages: 'keep' });
        this.#checkpoint.move(saved);
        await this.#standOn(saved, this.#last);
        const { pauseMs, pagesScanned } = saved.report;
        return { pauseMs, pagesScanned };
      });
    });
  }

  /**
   * Brings the guest back to its checkpoint, as fast as what it wrote since can be written. The base stays: what the
   * reset wrote is in the next save.
   *
   * All or nothing. Throws `busy`, `wrong-state` without a checkpoint, and what the guest, and the store, throw. A loop in the
   * guest's own thread calls `resetNow` of its tracker.
   */
  reset(): Promise<ResetReport> {
    return this.#exclusively('reset', async () => {
      if (!(await this.#storesCheckpoints())) return this.#tracker.resetToCheckpoint();
      return this.#sharing(async () => {
        const target = await this.#checkpoint.require();
        const base = await this.#presentBase();
        const { pagesWritten } = await restoreSnapshot(this.#parts, this.#tracker, base, target, {});
        await this.#standOn(target, this.#last);
        const { regions } = await this.#tracker.describe();
        return { pagesWritten, pagesCompared: regions.reduce((sum, one) => sum + pageCountOf(one), 0) };
      });
    });
  }

  /** Forgets the checkpoint, if there is one. Throws `busy`. */
  dropCheckpoint(): Promise<void> {
    return this.#exclusively('drop checkpoint', async () => {
      this.#checkpoint.move(null);
      await this.#checkpoint.tidy(this.#base);
      await this.#tracker.dropCheckpoint();
    });
  }

  /**
   * Lets the guest itself ask to be saved and put back, from now on: by its doorbell, at an exact instruction where it has
   * one. In place of an earlier serving.
   *
   * Throws `unsupported` where the guest has no doorbell, `argument-invalid`, `part-unavailable`. Rings that come while the machine saves or
   * restores for somebody else are refused.
   */
  async serveDoorbell(options: ServeDoorbellOptions = {}): Promise<ServedDoorbell> {
    const { serveDoorbell } = await loadPart('doorbell', () => import('./doorbell.ts'));
    return serveDoorbell(this, this.#tracker, options);
  }

  /**
   * Ranges of the live guest: all of one instant, or with `consistency: 'torn'` of several, for which a guest in shared
   * memory does not rest. Throws `span-out-of-range`, `not-found`.
   */
  async peek(ranges: readonly PeekRange[], options: LocalPeekOptions = {}): Promise<PeekedBytes> {
    const { regions } = await this.#tracker.describe();
    const spans = ranges.map((range) => spansOf(regions, range));
    const peeked = await this.#tracker.peek(spans.flat(), options);
    return {
      ...peeked,
      bytes: joinSpans(
        spans.map((list) => list.length),
        peeked.bytes,
      ),
    };
  }

  /**
   * As `peek` at one instant, for ranges of any length in all: their bytes go to `sink` in order, part by part, while the
   * guest runs on. Until the last part is taken there is no save, restore or diff.
   *
   * Throws `busy`, `aborted`, `part-unavailable`, `span-out-of-range`, `not-found`, and what the sink throws.
   */
  async peekInParts(
    ranges: readonly PeekRange[],
    sink: PartSink,
    options: PeekPartsOptions = {},
  ): Promise<{ readonly pauseMs: number }> {
    const { regions } = await this.#tracker.describe();
    const spans = ranges.flatMap((range) => spansOf(regions, range));
    return this.#exclusively('peek', async () => {
      const { peekMirror } = await loadPart('peek', () => import('./peek-parts.ts'));
      return peekMirror(this.#tracker, spans, sink, options);
    });
  }

  /** What the live guest's memory differs in from a snapshot, its base unless told. */
  async diff(snapshot?: SnapshotId): Promise<DiffReport> {
    const against = snapshot ?? this.base;
    if (against === null)
      throw new VitrineError('wrong-state', { actual: 'no snapshot', required: 'a base' });
    return this.#exclusively('diff', () =>
      this.#sharing(async () => {
        const { diffInstant } = await loadPart('upkeep', () => import('./upkeep.ts'));
        const target = await this.#find(against);
        const base = await this.#presentBase();
        const instant = await this.#tracker.capture({ full: base === null, hold: true });
        try {
          return await diffInstant(this.#parts, this.#tracker, instant, base, target);
        } finally {
          await this.#tracker.putBack();
        }
      }),
    );
  }

  /** Runs `work` while no save, restore or reset is: for a host that does something with the guest itself. Throws `busy`. */
  alone<T>(what: string, work: () => Promise<T>): Promise<T> {
    return this.#exclusively(what, work);
  }

  /** Ends the guest. Snapshots stay. */
  async close(): Promise<void> {
    this.#release();
    await this.#tracker.close();
    this.#checkpoint.move(null);
    await this.#checkpoint.tidy(null);
  }

  /** Saves the guest; it is told from what it was before still. */
  async #save(options: SaveOptions): Promise<Base & { readonly report: SaveReport }> {
    const base = options.full ? null : await this.#presentBase();
    const startMs = this.#parts.clock.nowMs();
    const ahead = await this.#storeAhead(base, options);
    const instant = await this.#capture(base === null, options);
    const told = { instant, base, ahead, parent: this.#last?.digest ?? null };
    const work = { name: this.name, tracker: this.#tracker, ...told, options, startMs };
    return this.#settling(() => saveInstant(this.#parts, work));
  }

  /** The guest is told from `base` from now on, and goes on from `last`. */
  async #standOn(base: Base, last: Base | null): Promise<void> {
    this.#base = base;
    this.#last = last;
    await this.#checkpoint.tidy(base);
  }

  async #storesCheckpoints(): Promise<boolean> {
    return (await this.#tracker.describe()).checkpoints === 'stored';
  }

  /** Stores what the guest holds while it still runs, for trackers that would let it rest for all of that. */
  async #storeAhead(base: Base | null, options: SaveOptions): Promise<StoredAhead | null> {
    const wanted = { full: base === null, live: options.live !== undefined };
    let ahead: StoredAhead | null = null;
    for (;;) {
      const instant = await this.#givenUpBy(options.signal, () => this.#tracker.captureAhead?.(wanted));
      if (instant === undefined || instant === null) return ahead;
      try {
        const work = { tracker: this.#tracker, instant, base, options };
        ahead = await storeAhead(this.#parts, work, ahead);
      } catch (error) {
        await this.#tracker.putBack();
        throw error;
      }
    }
  }

  #capture(full: boolean, { live, signal, freePages }: SaveOptions): Promise<CapturedInstant> {
    const skipFree = freePages !== 'keep';
    if (live === undefined) return this.#tracker.capture({ full, skipFree });
    return this.#givenUpBy(signal, () => this.#tracker.capture({ full, live, skipFree }));
  }

  /** A live capture takes its time, so that it can be given up on the way. */
  async #givenUpBy<T>(signal: AbortSignal | undefined, capture: () => T): Promise<Awaited<T>> {
    const cancel = (): void => {
      this.#tracker.cancelCapture().catch(() => {});
    };
    signal?.addEventListener('abort', cancel);
    try {
      return await capture();
    } catch (error) {
      throwIfAborted(signal);
      throw error;
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** The base, if its objects are sure to be in the store still; otherwise everything has to be saved again. */
  async #presentBase(): Promise<Base | null> {
    if (this.#base === null) return null;
    const ref = await this.#parts.store.get(snapshotRef(this.#base.id));
    return ref === undefined ? null : this.#base;
  }

  /** Commits the captured instant when `work` succeeds and puts it back when not. */
  async #settling<T>(work: () => Promise<T>): Promise<T> {
    try {
      const result = await work();
      await this.#tracker.commit();
      return result;
    } catch (error) {
      await this.#tracker.putBack();
      throw error;
    }
  }

  /**
   * Notes where the machine is now, for whoever opens the store next. Only a note: the snapshot is safe already, so
   * a store that fails here, or another tab with a machine of that name, does not make the save fail.
   */
  async #moveHead(digest: Digest): Promise<void> {
    const { store } = this.#parts;
    const ref = headRef(this.name);
    try {
      const before = await store.get(ref);
      await store.compareAndSwap(ref, before ?? null, digest);
    } catch (error) {
      if (!isVitrineError(error)) throw error;
    }
  }

  async #exclusively<T>(work: string, run: () => Promise<T>): Promise<T> {
    if (this.#work !== null) throw new VitrineError('busy', { machine: this.name, underWay: this.#work });
    this.#work = work;
    try {
      return await run();
    } finally {
      this.#work = null;
    }
  }
}

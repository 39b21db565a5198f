// A machine's rewind history from inside: it lies where the tracker lies, in the guest's worker or, for a guest in shared
// memory, in the engine's. `RewindClient` is the other end.

import { VitrineError } from '../base/error.ts';
import { loadPart } from '../base/part.ts';
import type { EpochTimer } from '../rewind/epoch-timer.ts';
import type { Rewind } from '../rewind/rewind.ts';
import type { RewindPoint, RewindStats, SeekReport } from '../rewind/rewind-report.ts';
import type { FlushReport, OpenedHistory, RewindStore } from '../rewind/rewind-store.ts';
import type { PointId } from '../rewind/timeline.ts';
import type { FollowedTracker } from '../tracking/follower.ts';
import type { Tracker } from '../tracking/tracker.ts';
import type { StoreSpec } from './engine-host.ts';

/** How to record a history. */
export interface RewindStartOptions {
  /** 64 MiB when left out. */
  readonly budgetBytes?: number;
  /** Time from one epoch to the next; 100 when left out. */
  readonly epochMs?: number;
  /** What happens when bookmarks leave no room for the present; `hold` when left out. */
  readonly whenFull?: 'hold' | 'forget';
}

/** The verbs, as they cross. */
export interface RewindCalls {
  /** Starts the history; with one under way it does nothing. */
  start(options: RewindStartOptions): Promise<RewindStats>;
  stop(): Promise<void>;
  points(options: { readonly branches?: boolean }): Promise<RewindPoint[]>;
  /** Null while there is no history. Throws once what ended a recording. */
  stats(): Promise<RewindStats | null>;
  seek(point: PointId): Promise<SeekReport>;
  resume(): Promise<void>;
  bookmark(point: PointId, label: string): Promise<void>;
  forget(point: PointId): Promise<void>;
  setSuspended(isSuspended: boolean): Promise<void>;
  /** Before and after the snapshot that the history is to be told from. */
  beginFlush(): Promise<void>;
  endFlush(place: HistoryPlace, anchor: string): Promise<FlushReport>;
  /** Whether there is a stored history. */
  isStored(place: HistoryPlace): Promise<boolean>;
  /** Holds the guest and answers with the snapshot to restore; null when there is no history, and nothing is held then. */
  beginReopen(place: HistoryPlace): Promise<string | null>;
  /** Opens the history, unless the restore failed, and lets the guest go on. */
  endReopen(options: RewindStartOptions, isRestored: boolean): Promise<void>;
}

/** Which history in which store. */
export interface HistoryPlace {
  readonly store: StoreSpec;
  /** The machine's. */
  readonly name: string;
}

export type RewindVerb = keyof RewindCalls;

const DEFAULT_EPOCH_MS = 100;

const hosts = new WeakMap<Tracker, RewindHost>();

/** The history of a tracker of this thread, the same one at each call. Throws `unsupported` when it cannot be followed. */
export function rewindOf(tracker: Tracker): RewindHost {
  if (!('follow' in tracker)) throw new VitrineError('unsupported', { missing: 'follow' });
  let host = hosts.get(tracker);
  if (host === undefined) {
    // Safe: the port is told by its first method.
    host = new RewindHost(tracker as FollowedTracker);
    hosts.set(tracker, host);
  }
  return host;
}

export class RewindHost implements RewindCalls {
  readonly #tracker: FollowedTracker;
  #rewind: Rewind | null = null;
  #opening: Promise<Rewind> | null = null;
  #timer: EpochTimer | null = null;
  /** Why the recording ended, until somebody asks. */
  #failure: { readonly cause: unknown } | null = null;
  /** A stored history whose snapshot is being restored. */
  #stored: OpenedHistory | null = null;
  readonly #stores = new Map<string, Promise<RewindStore>>();

  constructor(tracker: FollowedTracker) {
    this.#tracker = tracker;
  }

  async start(options: RewindStartOptions): Promise<RewindStats> {
    if (this.#rewind !== null) return this.#rewind.stats();
    const { epochMs = DEFAULT_EPOCH_MS, ...rest } = options;
    if (!(epochMs >= 1)) throw new VitrineError('argument-invalid', { name: 'epochMs', value: epochMs });
    const opening = this.#opening ?? this.#begin(rest);
    this.#opening = opening;
    try {
      const rewind = await opening;
      if (this.#rewind === null) {
        this.#rewind = rewind;
        await this.#record(epochMs);
      }
      return rewind.stats();
    } finally {
      this.#opening = null;
    }
  }

  async beginFlush(): Promise<void> {
    this.#open.beginFlush();
  }

  async endFlush(place: HistoryPlace, anchor: string): Promise<FlushReport> {
    return this.#open.endFlush(await this.#storeAt(place), anchor);
  }

  async isStored(place: HistoryPlace): Promise<boolean> {
    return (await (await this.#storeAt(place)).anchor()) !== null;
  }

  async beginReopen(place: HistoryPlace): Promise<string | null> {
    if (this.#rewind !== null || this.#stored !== null) {
      throw new VitrineError('wrong-state', { actual: 'a history', required: 'none' });
    }
    const { regions } = await this.#tracker.describe();
    const stored = await (await this.#storeAt(place)).open(regions);
    if (stored === undefined) return null;
    await this.#tracker.hold();
    this.#stored = stored;
    return stored.index.anchor;
  }

  async endReopen(options: RewindStartOptions, isRestored: boolean): Promise<void> {
    const stored = this.#stored;
    if (stored === null) throw new VitrineError('wrong-state', { actual: 'idle', required: 'beginReopen' });
    this.#stored = null;
    try {
      if (!isRestored) return;
      const { epochMs = DEFAULT_EPOCH_MS, ...rest } = options;
      const { loadCodecs, openStoredRewind } = await loadRewind();
      const codecs = await loadCodecs();
      this.#rewind = await openStoredRewind(this.#tracker, { ...rest, codecs }, stored);
      await this.#record(epochMs);
    } finally {
      await this.#tracker.release();
    }
  }

  async stop(): Promise<void> {
    const rewind = this.#rewind;
    this.#timer?.stop();
    this.#timer = null;
    this.#rewind = null;
    await rewind?.stop();
  }

  async points(options: { readonly branches?: boolean }): Promise<RewindPoint[]> {
    return this.#open.points(options);
  }

  async stats(): Promise<RewindStats | null> {
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) throw failure.cause;
    return this.#rewind?.stats() ?? null;
  }

  seek(point: PointId): Promise<SeekReport> {
    return this.#open.seek(point);
  }

  resume(): Promise<void> {
    return this.#open.resume();
  }

  bookmark(point: PointId, label: string): Promise<void> {
    return this.#open.bookmark(point, label);
  }

  forget(point: PointId): Promise<void> {
    return this.#open.forget(point);
  }

  async setSuspended(isSuspended: boolean): Promise<void> {
    this.#rewind?.setSuspended(isSuspended);
  }

  async #begin(options: Omit<RewindStartOptions, 'epochMs'>): Promise<Rewind> {
    const { loadCodecs, openRewind } = await loadRewind();
    return openRewind(this.#tracker, { ...options, codecs: await loadCodecs() });
  }

  async #record(epochMs: number): Promise<void> {
    const { EpochTimer } = await loadRewind();
    const rewind = this.#rewind;
    if (rewind === null) return;
    const onFailure = (cause: unknown): void => {
      this.#failure = { cause };
      void this.stop().catch(() => {});
    };
    this.#timer = new EpochTimer(rewind, { epochMs, onFailure });
  }

  /** The store is opened in this worker, once for each place: what was written once is known then. */
  #storeAt(place: HistoryPlace): Promise<RewindStore> {
    const key = JSON.stringify(place);
    let store = this.#stores.get(key);
    if (store === undefined) {
      store = openStore(place);
      this.#stores.set(key, store);
      store.catch(() => this.#stores.delete(key));
    }
    return store;
  }

  get #open(): Rewind {
    if (this.#rewind !== null) return this.#rewind;
    throw new VitrineError('wrong-state', { actual: 'no history', required: 'rewind.start' });
  }
}

async function openStore({ store, name }: HistoryPlace): Promise<RewindStore> {
  if (store.kind !== 'idb')
    throw new VitrineError('unsupported', { missing: 'a store of more than one worker' });
  const { openIdbStore } = await loadPart('store', () => import('../store/idb-store.ts'));
  const { RewindStore } = await loadRewind();
  return new RewindStore(await openIdbStore(store.name), name);
}

function loadRewind(): Promise<typeof import('./rewind-parts.ts')> {
  return loadPart('rewind', () => import('./rewind-parts.ts'));
}

// A machine's rewind history from inside: it lies where the tracker lies, in the guest's worker or, for a guest in shared
// memory, in the engine's. `RewindClient` is the other end.

import { VitrineError } from '../base/error.ts';
import { loadCodecs } from '../codec/load.ts';
import { EpochTimer } from '../rewind/epoch-timer.ts';
import { openRewind, type Rewind } from '../rewind/rewind.ts';
import type { RewindPoint, RewindStats, SeekReport } from '../rewind/rewind-report.ts';
import type { PointId } from '../rewind/timeline.ts';
import type { FollowedTracker } from '../tracking/follower.ts';
import type { Tracker } from '../tracking/tracker.ts';

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
  /** Null while there is no history. */
  stats(): Promise<RewindStats | null>;
  seek(point: PointId): Promise<SeekReport>;
  resume(): Promise<void>;
  bookmark(point: PointId, label: string): Promise<void>;
  forget(point: PointId): Promise<void>;
  setSuspended(isSuspended: boolean): Promise<void>;
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

  constructor(tracker: FollowedTracker) {
    this.#tracker = tracker;
  }

  async start(options: RewindStartOptions): Promise<RewindStats> {
    if (this.#rewind !== null) return this.#rewind.stats();
    const { epochMs = DEFAULT_EPOCH_MS, ...rest } = options;
    if (!(epochMs >= 1)) throw new VitrineError('argument-invalid', { name: 'epochMs', value: epochMs });
    const opening =
      this.#opening ?? loadCodecs().then((codecs) => openRewind(this.#tracker, { ...rest, codecs }));
    this.#opening = opening;
    try {
      const rewind = await opening;
      if (this.#rewind === null) {
        this.#rewind = rewind;
        // A guest that was closed has no more epochs; whoever asks for its history hears why.
        this.#timer = new EpochTimer(rewind, { epochMs });
      }
      return rewind.stats();
    } finally {
      this.#opening = null;
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

  get #open(): Rewind {
    if (this.#rewind !== null) return this.#rewind;
    throw new VitrineError('wrong-state', { actual: 'no history', required: 'rewind.start' });
  }
}

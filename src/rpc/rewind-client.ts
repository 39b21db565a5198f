// A machine's rewind history from outside: the verbs of `Rewind`, wherever it is kept.

import type { SnapshotId } from '../engine/snapshot.ts';
import type { RewindPoint, RewindStats, SeekReport } from '../rewind/rewind-report.ts';
import type { FlushReport } from '../rewind/rewind-store.ts';
import type { PointId } from '../rewind/timeline.ts';
import type { HistoryPlace, RewindCalls, RewindStartOptions, RewindVerb } from './rewind-host.ts';

/** Makes one call; what does it knows where the history is. */
export type CallRewind = <Verb extends RewindVerb>(
  verb: Verb,
  ...parameters: Parameters<RewindCalls[Verb]>
) => ReturnType<RewindCalls[Verb]>;

/**
 * Going back: `start` once, then `seek` to one of `points` and `resume` from there.
 *
 * @example
 * await machine.rewind.start({ budgetBytes: 64 * 2 ** 20, epochMs: 100 });
 * const points = await machine.rewind.points();
 * await machine.rewind.seek(points[0].id);
 * await machine.rewind.resume();
 */
export class RewindClient {
  readonly #call: CallRewind;
  readonly #place: HistoryPlace;

  constructor(call: CallRewind, place: HistoryPlace) {
    this.#call = call;
    this.#place = place;
  }

  /** Starts a history; with one under way it does nothing. Throws `argument-invalid`, `unsupported`. */
  start(options: RewindStartOptions = {}): Promise<RewindStats> {
    return this.#call('start', options);
  }

  /** Ends it and lets the machine go on where it is. */
  stop(): Promise<void> {
    return this.#call('stop');
  }

  /** Points of the timeline, oldest first; with `branches` those of futures that were left, too. */
  points(options: { readonly branches?: boolean } = {}): Promise<RewindPoint[]> {
    return this.#call('points', options);
  }

  /** Figures; null while there is no history. Throws once what ended a recording. */
  stats(): Promise<RewindStats | null> {
    return this.#call('stats');
  }

  /** Takes the machine to a point and holds it there. All or nothing. Throws `not-found`, `rewind-full`, `busy`. */
  seek(point: PointId): Promise<SeekReport> {
    return this.#call('seek', point);
  }

  /** Lets the machine go on from there. */
  resume(): Promise<void> {
    return this.#call('resume');
  }

  /** Throws `not-found`, `argument-invalid`, `rewind-full`. */
  bookmark(point: PointId, label: string): Promise<void> {
    return this.#call('bookmark', point, label);
  }

  /** Takes a bookmark's label away. */
  forget(point: PointId): Promise<void> {
    return this.#call('forget', point);
  }

  /** Leaves epochs out: while nobody sees the machine, or it runs faster than it should. */
  setSuspended(isSuspended: boolean): Promise<void> {
    return this.#call('setSuspended', isSuspended);
  }

  /**
   * Keeps the history in the engine's store, under the machine's name, so that it can be opened after a reload. `save` makes
   * a snapshot of this machine with `freePages: 'keep'` and answers with its id; the history is told from that. `anchorBefore` of the answer is one
   * that is no longer needed.
   *
   * Throws `busy` when another save came between, `unsupported` for a store in memory, and what `save` and the store throw.
   */
  async flush(save: () => Promise<SnapshotId>): Promise<FlushReport> {
    await this.#call('beginFlush');
    return this.#call('endFlush', this.#place, await save());
  }

  /** Whether a history of this machine is kept. */
  isStored(): Promise<boolean> {
    return this.#call('isStored', this.#place);
  }

  /**
   * Opens the history that was kept: `restore` brings this machine to the snapshot that it is told from, and it goes on from
   * there. Answers whether there was one. Throws what `restore` throws, `format-*`, `object-missing`, `guest-mismatch`.
   */
  async reopen(
    restore: (snapshot: SnapshotId) => Promise<unknown>,
    options: RewindStartOptions = {},
  ): Promise<boolean> {
    const anchor = await this.#call('beginReopen', this.#place);
    if (anchor === null) return false;
    let isRestored = false;
    try {
      await restore(anchor);
      isRestored = true;
    } finally {
      await this.#call('endReopen', options, isRestored);
    }
    return true;
  }
}

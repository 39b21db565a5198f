// What a history tells of itself: its points, its figures, what its calls did. Plain values, which cross workers.

import type { EpochReport } from '../tracking/follower.ts';
import type { PointId } from './timeline.ts';

/** `full`: bookmarks leave no room for the present, and the guest is held. */
export type RewindState = 'recording' | 'scrubbing' | 'full' | 'stopped';

/** `unchanged`: the guest is where it was at the last point. */
export type EpochOutcome = 'taken' | 'unchanged' | 'skipped';

/** A point that the guest can be taken to. */
export interface RewindPoint {
  readonly id: PointId;
  /** How long the guest had run on the way to it, since the history began. */
  readonly atMs: number;
  /** When it was taken, by the calendar. */
  readonly wallMs: number;
  /** The bookmark's label. */
  readonly label: string | null;
  /** Whether it lies on the timeline; else on a branch. */
  readonly onTimeline: boolean;
  /** Whether it is the last one of its future. */
  readonly isEnd: boolean;
  /** Whether the guest is there, or was when it was last looked at. */
  readonly isHead: boolean;
}

export interface SeekReport {
  readonly pointsPassed: number;
  /** Pages that differed and were written. */
  readonly pagesWritten: number;
  /** Time spent, without that of other tasks. */
  readonly workMs: number;
}

export interface RewindStats {
  readonly state: RewindState;
  readonly isSuspended: boolean;
  readonly budgetBytes: number;
  readonly usedBytes: number;
  /** The most that was used so far. */
  readonly peakBytes: number;
  readonly points: number;
  readonly bookmarks: number;
  /** Ends of futures that were left. */
  readonly branches: number;
  readonly oldest: RewindPoint;
  readonly newest: RewindPoint;
  /** Epochs by what became of them. */
  readonly epochs: {
    readonly taken: number;
    readonly unchanged: number;
    /** Another job was under way. */
    readonly skippedBusy: number;
    readonly skippedSuspended: number;
    /** Left out by a timer, so that the guest keeps its time. */
    readonly skippedBehind: number;
  };
  /** Points merged into their neighbours, and points dropped. */
  readonly merged: number;
  readonly dropped: number;
  /** Bookmarks given up because `whenFull` says so. */
  readonly bookmarksForgotten: number;
  /** Times that one change was larger than the budget, so that history began anew. */
  readonly restarts: number;
  /** Of the last epoch, and the longest: how long the guest rested, and the work with it, encoding included. */
  readonly lastPauseMs: number;
  readonly longestPauseMs: number;
  readonly lastWorkMs: number;
  readonly longestWorkMs: number;
  /** Pages that were compared while the guest rested for the last epoch: those marked, or all where it does not mark. */
  readonly lastPagesScanned: number;
}

/** What a report needs of a history. */
export interface Reported {
  readonly budgetBytes: number;
  readonly usedBytes: number;
  readonly size: number;
  readonly bookmarks: number;
  readonly branches: number;
  readonly oldest: RewindPoint;
  readonly newest: RewindPoint;
}

/** Counts. */
export class RewindTally {
  merged = 0;
  dropped = 0;
  bookmarksForgotten = 0;
  restarts = 0;
  peakBytes = 0;
  #taken = 0;
  #unchanged = 0;
  #busy = 0;
  #suspended = 0;
  #behind = 0;
  #lastPauseMs = 0;
  #longestPauseMs = 0;
  #lastWorkMs = 0;
  #longestWorkMs = 0;
  #lastPagesScanned = 0;

  get lastWorkMs(): number {
    return this.#lastWorkMs;
  }

  skip(why: 'busy' | 'suspended'): 'skipped' {
    if (why === 'busy') this.#busy++;
    else this.#suspended++;
    return 'skipped';
  }

  /** Epochs that a timer left out. */
  fallBehind(epochs: number): void {
    this.#behind += epochs;
  }

  took(isNew: boolean): EpochOutcome {
    if (isNew) this.#taken++;
    else this.#unchanged++;
    return isNew ? 'taken' : 'unchanged';
  }

  pause({ pauseMs, pagesScanned }: EpochReport): void {
    this.#lastPauseMs = pauseMs;
    this.#lastPagesScanned = pagesScanned;
    this.#longestPauseMs = Math.max(this.#longestPauseMs, pauseMs);
  }

  /** Work after the pause. */
  work(ms: number): void {
    this.#lastWorkMs = this.#lastPauseMs + ms;
    this.#longestWorkMs = Math.max(this.#longestWorkMs, this.#lastWorkMs);
  }

  report(history: Reported, state: RewindState, isSuspended: boolean): RewindStats {
    const { budgetBytes, usedBytes, size, bookmarks, branches, oldest, newest } = history;
    return {
      ...{ state, isSuspended, budgetBytes, usedBytes, peakBytes: this.peakBytes, points: size },
      ...{ bookmarks, branches, oldest, newest },
      epochs: {
        taken: this.#taken,
        unchanged: this.#unchanged,
        skippedBusy: this.#busy,
        skippedSuspended: this.#suspended,
        skippedBehind: this.#behind,
      },
      merged: this.merged,
      dropped: this.dropped,
      bookmarksForgotten: this.bookmarksForgotten,
      restarts: this.restarts,
      ...{ lastPauseMs: this.#lastPauseMs, longestPauseMs: this.#longestPauseMs },
      ...{ lastWorkMs: this.#lastWorkMs, longestWorkMs: this.#longestWorkMs },
      lastPagesScanned: this.#lastPagesScanned,
    };
  }
}

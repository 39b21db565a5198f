// The part of the Tracker port that serves the guest's doorbell. As of all of that port, values are cloneable.

import type { ErrorCode } from '../base/error.ts';
import type { DoorbellAnswer, DoorbellCounts, DoorbellRequest } from '../guest/doorbell.ts';

/** How a tracker serves its guest's doorbell. */
export interface DoorbellOptions {
  readonly serve: 'checkpoint' | 'ask';
  /** Rings served in a second, and at once after a quiet second; all others are refused. */
  readonly maxPerSecond: number;
}

/** What became of the rings, and why the last one that was refused by the tracker was. */
export interface DoorbellReport extends DoorbellCounts {
  readonly lastFailure: ErrorCode | null;
}

/** The doorbell of a tracker's guest. All values are cloneable. */
export interface TrackerDoorbell {
  /**
   * Lets the guest ring from now on. In place of an earlier serving, whose ring in hand is refused.
   *
   * Throws `unsupported` where the guest has no doorbell, `argument-invalid`.
   */
  serve(options: DoorbellOptions): Promise<void>;
  /** Nobody serves from now on; a ring in hand is refused. Also where nobody served. */
  stop(): Promise<void>;
  report(): Promise<DoorbellReport>;
  /** The next ring, for `serve: 'ask'`; null when the serving has ended. One call at a time. */
  nextRing(): Promise<DoorbellRequest | null>;
  /** Answers the ring in hand; the guest runs on. Without one it does nothing: the serving may have ended. */
  answerRing(answer: DoorbellAnswer): Promise<void>;
}

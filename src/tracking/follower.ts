// The FollowedTracker port: a tracker beside which somebody keeps a history of the guest, as `rewind` does. It is for code
// in the tracker's own thread: what passes here are views, not copies.
//
//   follow ─▶ losing, losing … ─▶ epoch: the instant ─▶ losing … ─▶ epoch …      (saves and restores in between lose too)
//
// What a follower was told it loses, and what the mirror holds at the next epoch, are together exactly what changed. A
// history changes no other book: what a travel writes counts as changed in the next capture, as if the guest had done it.

import type { DeviceRecord } from '../guest/guest.ts';
import type { AppliedRestore, Tracker } from './tracker.ts';

/** Hears of the mirror. It must not throw. */
export interface Follower {
  /** The mirror is about to take another content for this page; `bytes` is what it holds, valid during the call. */
  losing(region: number, page: number, bytes: Uint8Array): void;
  /** A capture froze this instant for a save. The instant is valid during the call. */
  captured(instant: Instant): void;
  /** What was captured last is safe; `isWhole` says that no free page was left out of it. */
  committed(isWhole: boolean): void;
}

/** One instant of the guest, seen while the tracker does nothing else. */
export interface Instant {
  readonly devices: readonly DeviceRecord[];
  /** A page of it in place, to be read; valid until the next call. */
  page(region: number, page: number): Uint8Array;
}

/** An instant that can be left for another one. */
export interface Departure extends Instant {
  /** A page that the guest shall hold. It does not see it yet. */
  put(region: number, page: number, bytes: Uint8Array): void;
}

/** What an epoch cost. */
export interface EpochReport {
  readonly pauseMs: number;
  /** Pages looked at while the guest was paused. */
  readonly pagesScanned: number;
}

/**
 * A tracker that can be followed. `epoch` and `travel` are served while idle, one after another; calls of an engine that
 * come meanwhile wait for them.
 */
export interface FollowedTracker extends Tracker {
  /**
   * Tells `follower` from now on what the mirror loses; null ends it at once, at any time. The mirror then holds the guest as it was at some
   * time; the next epoch is the first instant that the follower knows.
   *
   * Throws `busy` when there is another follower.
   */
  follow(follower: Follower | null): Promise<void>;

  /** Brings the mirror up to date in a short pause, and shows the instant to `see` when the guest runs again. */
  epoch(see: (instant: Instant) => void): Promise<EpochReport>;

  /**
   * Takes the guest to another instant: `choose` sees where it is, puts pages, and answers with the devices.
   *
   * All or nothing: when `choose` throws or the guest refuses, it runs on as it was. `arrived` is called when it is there,
   * before anything else is served; it must not throw.
   */
  travel(
    choose: (here: Departure) => Promise<readonly DeviceRecord[]>,
    arrived?: () => void,
  ): Promise<AppliedRestore>;

  /** Holds the guest where it is until as many calls of `release`. Everything else is served meanwhile. */
  hold(): Promise<void>;
  release(): Promise<void>;
}

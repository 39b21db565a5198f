// The Barrier port: before the first write to an awaited page, what it held is copied aside. So an instant of the guest can
// be read while the guest runs on: a page that nobody wrote is still as it was, and of the others the old content is kept.
//
//   open ──arm (guest paused)──▶ armed ──drain, release …──▶ nothing left to read ──close──▶
//
//   guest, before its first write to page p       saver
//     state[p] 1 → 0?  no: write                    drain the ring first: changed pages come first
//     yes: old page → ring, or when that is         copy p, then release(p): true, and the copy counts;
//          full → sink, while the guest waits       false: the guest was first, and the ring has p
//
// The ring bounds what waits for the saver, not what the saver keeps. `memory/barrier-block.ts` has the layout.
//
// To give a guest a barrier, call `beforeWrite` of a `PageBarrier` before each write: `flat.ts` is the model.

import type { Clock } from '../base/clock.ts';
import type { BarrierPlace } from '../memory/barrier-block.ts';
import type { PageSet } from '../memory/page-set.ts';

export interface BarrierOptions {
  /** Room for old pages that wait for the saver. With 0 each one is a wait of the guest. */
  readonly ringBytes: number;
  readonly clock: Clock;
}

/**
 * Takes what an awaited page held; `bytes` are valid during the call only, and may end with the region. It may be called in
 * the middle of an instruction of the guest: it neither throws nor calls the guest.
 */
export type RegionPageSink = (region: number, page: number, bytes: Uint8Array) => void;

/** What a barrier did since it was armed. */
export interface BarrierFigures {
  /** Pages whose old content was kept, in the ring or at the sink. */
  readonly copiedAside: number;
  /** Of these, those that found no room in the ring: the guest itself brought them to the sink. */
  readonly spilled: number;
  readonly peakRingBytes: number;
  /** Waits of the guest for a full ring. */
  readonly longestStallMs: number;
  readonly totalStallMs: number;
}

/** A guest's write barrier. At most one is open at a time. */
export interface Barrier {
  /** By region: whether its pages can be awaited. The others have to be read while the guest is paused. */
  readonly covers: readonly boolean[];
  /** Room of the ring: less than asked for where memory was refused, or where there are not so many pages. */
  readonly ringBytes: number;

  /**
   * From now on the first write to each of these pages, a set a region, copies the page aside. Only while paused, once.
   */
  arm(awaited: readonly PageSet[], sink: RegionPageSink): void;

  /**
   * The bytes of a covered region in place, also while the guest runs: what `release` then says true of is as it was when
   * armed. Shorter than the region where the guest's memory has not come so far: the rest is zeros. Valid until the next await.
   */
  view(region: number): Uint8Array;

  /** Ends the wait for a page whose bytes the saver has. False when the guest was first: its old content is in the ring. */
  release(region: number, page: number): boolean;

  /** Hands at most `maxPages` old pages of the ring to the sink. Returns how many; fewer than asked means none is left. */
  drain(maxPages: number): number;

  /**
   * By region, where the states and the ring lie for a saver in another thread; absent or undefined where they cannot be
   * reached from there.
   */
  readonly places?: readonly (BarrierPlace | undefined)[];

  /**
   * There where the guest runs in another thread than the saver: it may have claimed a page and not put it aside yet.
   * Resolves when each page that was claimed before the call is in the ring or at the sink.
   */
  settled?(): Promise<void>;

  /** May be asked after `close` too. */
  figures(): BarrierFigures;

  /** Nothing is awaited any more, and the ring is given back. At any time, also when the guest is closed. */
  close(): void;
}

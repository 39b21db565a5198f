// A history of a guest of this thread, with what it needs loaded.

import { loadCodecs } from './codec/load.ts';
import { openRewind as openRewindWith, type Rewind, type RewindOptions } from './rewind/rewind.ts';
import type { FollowedTracker } from './tracking/follower.ts';

/** A budget, and what is loaded when it is left out. */
export type OpenRewindOptions = Partial<RewindOptions>;

/**
 * Starts a history of the guest of `tracker`; the same tracker goes on to serve an engine. The first point is now, later ones
 * come by `epoch()`, or by an `EpochTimer`.
 *
 * Throws `argument-invalid` for a budget that holds nothing, `busy` when there is a history already, and what the guest
 * throws.
 *
 * @example
 * const rewind = await openRewind(tracker, { budgetBytes: 64 * 2 ** 20 });
 * const timer = new EpochTimer(rewind, { epochMs: 100 });
 * await rewind.seek(rewind.points()[0].id);
 * await rewind.resume();
 */
export async function openRewind(tracker: FollowedTracker, options: OpenRewindOptions = {}): Promise<Rewind> {
  return openRewindWith(tracker, { ...options, codecs: options.codecs ?? (await loadCodecs()) });
}

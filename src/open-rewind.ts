// A history of a guest of this thread, with what it needs loaded.

import { loadCodecs } from './codec/load.ts';
import {
  openRewind as openWith,
  type RewindOptions,
  reopenRewind as reopenWith,
} from './rewind/open-rewind.ts';
import type { Rewind } from './rewind/rewind.ts';
import type { RewindStore } from './rewind/rewind-store.ts';
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
  return openWith(tracker, await complete(options));
}

/**
 * Opens the history that `Rewind.flush` wrote, in a new process or page: `restore` brings the guest to the snapshot that it
 * is told from. Null when there is none.
 *
 * Throws as `openRewind`, `format-*`, `object-missing`, `guest-mismatch`, and what `restore` throws.
 *
 * @example
 * const kept = new RewindStore(store, 'my-machine');
 * await rewind.flush(kept, async () => (await machine.save({ freePages: 'keep' })).snapshot.id);
 * // later
 * const rewind = await reopenRewind(tracker, kept, (snapshot) => machine.restore(snapshot));
 */
export async function reopenRewind(
  tracker: FollowedTracker,
  store: RewindStore,
  restore: (snapshot: string) => Promise<unknown>,
  options: OpenRewindOptions = {},
): Promise<Rewind | null> {
  return reopenWith(tracker, await complete(options), store, restore);
}

async function complete(options: OpenRewindOptions): Promise<RewindOptions> {
  return { ...options, codecs: options.codecs ?? (await loadCodecs()) };
}

// Starting a history, or opening one that was stored.

import type { Clock } from '../base/clock.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import { LIMITS, MIB } from '../base/limits.ts';
import type { Codecs } from '../codec/codec.ts';
import type { FollowedTracker } from '../tracking/follower.ts';
import { Rewind } from './rewind.ts';
import type { OpenedHistory, RewindStore } from './rewind-store.ts';
import { Units } from './units.ts';

const DEFAULT_BUDGET_BYTES = 64 * MIB;
/** Least bytes that hold anything at all. */
const MIN_BUDGET_BYTES = 64 * 1024;

export interface RewindOptions {
  readonly codecs: Codecs;
  /** 64 MiB when left out. The history never holds more; work under way has buffers of its own. */
  readonly budgetBytes?: number;
  /**
   * What happens when bookmarks leave no room for the present: `hold` stops the guest until one is forgotten, `forget` gives
   * the oldest one up. `hold` when left out: a bookmark is never lost.
   */
  readonly whenFull?: 'hold' | 'forget';
  /** `LIMITS.maxRewindPoints` when left out; history is thinned to stay below. */
  readonly maxPoints?: number;
  readonly clock?: Clock;
}

/**
 * Starts a history of the guest of `tracker`, which goes on to serve an engine. The first point is now.
 *
 * Throws `argument-invalid` for a budget that holds nothing, `busy` when the tracker is followed already, and what the
 * guest throws.
 */
export async function openRewind(tracker: FollowedTracker, options: RewindOptions): Promise<Rewind> {
  return openStoredRewind(tracker, options);
}

/**
 * Opens a stored history: `restore` brings the guest to the snapshot that it is told from, with an engine on the same tracker;
 * the guest is held meanwhile, and goes on from there. Null when there is none of that name.
 *
 * On failure the guest is where `restore` left it, without a history. Throws as `openRewind`, `format-*`, `object-missing`,
 * `guest-mismatch`, and what `restore` throws.
 */
export async function reopenRewind(
  tracker: FollowedTracker,
  options: RewindOptions,
  store: RewindStore,
  restore: (snapshot: string) => Promise<unknown>,
): Promise<Rewind | null> {
  const { regions } = await tracker.describe();
  const stored = await store.open(regions);
  if (stored === undefined) return null;
  await tracker.hold();
  try {
    await restore(stored.index.anchor);
    return await openStoredRewind(tracker, options, stored);
  } finally {
    await tracker.release();
  }
}

/** As `openRewind`, with a stored history: the guest is at its anchor, and held there. */
export async function openStoredRewind(
  tracker: FollowedTracker,
  options: RewindOptions,
  stored?: OpenedHistory,
): Promise<Rewind> {
  const { budgetBytes = DEFAULT_BUDGET_BYTES, maxPoints = LIMITS.maxRewindPoints } = options;
  if (!Number.isSafeInteger(budgetBytes) || budgetBytes < MIN_BUDGET_BYTES) {
    throw new VitrineError('argument-invalid', { name: 'budgetBytes', value: budgetBytes });
  }
  if (!Number.isSafeInteger(maxPoints) || maxPoints < 2 || maxPoints > LIMITS.maxRewindPoints) {
    throw new VitrineError('argument-invalid', { name: 'maxPoints', value: maxPoints });
  }
  const { regions } = await tracker.describe();
  const units = new Units(regions, stored?.index.recordNames);
  const rewind = new Rewind(tracker, units, { ...options, budgetBytes, maxPoints });
  try {
    await rewind.start(stored);
    return rewind;
  } catch (error) {
    // Another history of the same tracker goes on.
    if (!isVitrineError(error, 'busy')) await tracker.follow(null);
    throw error;
  }
}

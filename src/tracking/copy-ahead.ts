// Before the first capture: copies the guest into the mirror piece by piece while it runs in between, so that the pause of
// the capture finds the mirror nearly equal. All that is copied is pending, as after any scan; what the guest changes
// meanwhile the capture finds.

import { MIB } from '../base/limits.ts';
import { nextTask } from '../base/pacing.ts';
import type { Guest, PauseNeeds } from '../guest/guest.ts';
import type { PageSet } from '../memory/page-set.ts';
import type { Mirror } from './mirror.ts';

/** Copied in one go: two milliseconds of the guest's time, most of it for fresh memory. */
const STEP_BYTES = MIB;

/** Makes the mirror what the guest held at some time during the call, and adds pages that differed to `pending`. */
export async function copyAhead(guest: Guest, mirror: Mirror, pending: readonly PageSet[]): Promise<void> {
  // Every page is looked at below, so earlier marks say no more; from here on they tell what the guest changes meanwhile,
  // which is what an audit of the marks compares with.
  const take = await whilePaused(guest, () => guest.takeDirty(), { marks: true });
  try {
    for (const { id, pageBytes } of guest.regions) {
      const changed = pending[id]!;
      const step = Math.max(1, Math.floor(STEP_BYTES / pageBytes));
      for (let first = 0; first < changed.pageCount; first += step) {
        const run = { first, count: Math.min(step, changed.pageCount - first) };
        await whilePaused(guest, () => mirror.scanRun(guest, id, run, changed));
        await nextTask();
      }
    }
  } catch (error) {
    take.putBack();
    throw error;
  }
  take.commit();
}

async function whilePaused<T>(guest: Guest, work: () => T | Promise<T>, needs: PauseNeeds = {}): Promise<T> {
  await guest.pause(needs);
  try {
    return await work();
  } finally {
    await guest.resume();
  }
}

// Before the first capture: copies the guest into the mirror piece by piece while it runs in between, so that the pause of
// the capture finds the mirror nearly equal. All that is copied is pending, as after any scan; what the guest changes
// meanwhile the capture finds.

import type { Clock } from '../base/clock.ts';
import type { DirtyTake, Guest } from '../guest/guest.ts';
import type { PageSet } from '../memory/page-set.ts';
import { Mirror, type PageSource } from './mirror.ts';
import type { MirrorScanner } from './mirror-scanner.ts';
import { Slices } from './slices.ts';

/** Slices for it when nobody minds the guest's waits: two milliseconds, most of them for fresh memory. */
export function warmUpSlices(clock: Clock): Slices {
  return new Slices({ clock, sliceMs: 2 });
}

/** Makes the mirror what the guest held at some time during the call, and adds pages that differed to `pending`. */
export async function copyAhead(
  guest: Guest,
  mirror: Mirror | MirrorScanner,
  pending: readonly PageSet[],
  slices: Slices,
  takeMarks: () => DirtyTake,
): Promise<void> {
  // Every page is looked at below, so earlier marks say no more; from here on they tell what the guest changes meanwhile,
  // which is what an audit of the marks compares with.
  await guest.pause({ marks: true });
  let take: DirtyTake;
  try {
    take = takeMarks();
  } finally {
    await guest.resume();
  }
  try {
    // Threads take nothing of the guest's time.
    if (!(mirror instanceof Mirror)) await mirror.take(pending);
    else if (guest.readTorn === undefined) await slices.whilePaused(guest, copies(guest, mirror, pending));
    else await copyTorn(guest.readTorn.bind(guest), mirror, pending, slices);
  } catch (error) {
    take.putBack();
    throw error;
  }
  take.commit();
}

/** Without a pause; the scan that follows finds what changed while it was read. */
async function copyTorn(
  readPages: PageSource['readPages'],
  mirror: Mirror,
  pending: readonly PageSet[],
  slices: Slices,
): Promise<void> {
  const source: PageSource = { view: () => undefined, readPages };
  for (const { id } of mirror.regions) {
    for (const run of mirror.chunks(id, null)) {
      await mirror.scanRun(source, id, run, pending[id]!);
      await slices.breathe();
    }
  }
}

function* copies(guest: Guest, mirror: Mirror, pending: readonly PageSet[]): Generator<() => Promise<void>> {
  for (const { id } of guest.regions) {
    for (const run of mirror.chunks(id, null)) yield () => mirror.scanRun(guest, id, run, pending[id]!);
  }
}

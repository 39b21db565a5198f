// Engines and machines for tests: real kernels, real codecs, a store of the test's choice.

import { loadCodecs } from '../../src/codec/load.ts';
import type { Lock } from '../../src/engine/lock.ts';
import type { Machine } from '../../src/engine/machine.ts';
import type { PageEncoder } from '../../src/engine/page-encoder.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { FlatGuest, type FlatGuestOptions } from '../../src/guest/flat.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import type { Store } from '../../src/store/store.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';

/** A clock that only tests move: a millisecond each time it is asked. */
export function tickingClock() {
  let ms = 1_700_000_000_000;
  return { nowMs: () => ms++, wallMs: () => ms++ };
}

export async function openTestEngine(
  store: Store = openMemoryStore(),
  lock?: Lock,
  encoder?: PageEncoder,
): Promise<Vitrine> {
  const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
  return openEngine({
    store,
    kernels,
    codecs,
    clock: tickingClock(),
    ...(lock === undefined ? {} : { lock }),
    ...(encoder === undefined ? {} : { encoder }),
  });
}

/** A flat guest of so many pages, its memory, and its machine under an engine. */
export async function adoptFlat(
  engine: Vitrine,
  name: string,
  pages: number,
  options: Partial<FlatGuestOptions> = {},
): Promise<{ guest: FlatGuest; machine: Machine; memory: Uint8Array<ArrayBuffer> }> {
  const memory = new Uint8Array(pages * 4096);
  const guest = new FlatGuest({ regions: [{ name: 'ram', bytes: memory, guestAddress: 0 }], ...options });
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  return { guest, machine: engine.adopt(name, tracker), memory };
}

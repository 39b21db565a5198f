// The engine on the thread that asks for it: kernels and codecs are loaded, the store is the caller's. In Node and in
// an emulator's own worker this is the way; a page's main thread is better served by `openVitrineWorker`.

import { loadCodecs } from './codec/load.ts';
import { type EngineOptions, openEngine, type Vitrine } from './engine/vitrine.ts';
import type { Guest } from './guest/guest.ts';
import { loadKernels } from './kernel/load.ts';
import { openScanTracker, type ScanTracker } from './tracking/scan-tracker.ts';

/** A store, and what is loaded when it is left out. */
export type OpenVitrineOptions = Pick<EngineOptions, 'store'> & Partial<EngineOptions>;

/**
 * Opens an engine over a store, on this thread.
 *
 * The engine closes the store when it is closed. Two engines that use one store at once need a common `lock`: in
 * browsers `openWebLock`. Throws `kernel-unavailable`, what the store throws, and `format-*` when an index is damaged.
 *
 * @example
 * const vitrine = await openVitrine({ store: openMemoryStore() });
 * const machine = vitrine.adopt('first', await openTracker(guest));
 */
export async function openVitrine(options: OpenVitrineOptions): Promise<Vitrine> {
  const [kernels, codecs] = await Promise.all([
    options.kernels ?? loadKernels(),
    options.codecs ?? loadCodecs(),
  ]);
  return openEngine({ ...options, kernels, codecs });
}

/**
 * A tracker over a guest of this thread: what `adopt` takes. The guest is then to be used through it alone.
 *
 * Throws `argument-invalid` when the guest's regions cannot be those of a machine, `memory-exhausted` when there is no
 * room for a second copy of its memory.
 */
export function openTracker(guest: Guest): Promise<ScanTracker> {
  return openScanTracker(guest, { openKernels: () => loadKernels() });
}

// The engine in a worker of its own, so that encoding and storing never block the thread that asks. The worker's file
// is a sibling of this one in the package; a bundler sees the literal `new URL` and takes it along.

import { type EngineClient, startEngine } from './rpc/engine-client.ts';
import type { StoreSpec } from './rpc/engine-host.ts';

/** Which store, and the worker when its file is served elsewhere. */
export interface OpenVitrineWorkerOptions {
  readonly store: StoreSpec;
  /** A module worker that runs the package's `vitrine/worker`. */
  readonly worker?: Worker;
}

/**
 * Opens an engine over a store, in a worker.
 *
 * Guests may live on this thread (`adopt` with `openTracker(guest)`) or in workers of their own (`startGuest`). Throws
 * `worker-start` when the worker cannot be loaded, and what opening the store throws.
 *
 * @example
 * const vitrine = await openVitrineWorker({ store: { kind: 'idb', name: 'my-app' } });
 */
export function openVitrineWorker(options: OpenVitrineWorkerOptions): Promise<EngineClient> {
  const worker =
    options.worker ?? new Worker(new URL('../workers/engine.ts', import.meta.url), { type: 'module' });
  return startEngine(worker, options.store);
}

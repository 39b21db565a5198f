// The engine in a worker of its own, so that encoding and storing never block the thread that asks. The worker's file
// is a sibling of this one in the package; a bundler sees the literal `new URL` and takes it along.

import { VitrineError } from './base/error.ts';
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
export async function openVitrineWorker(options: OpenVitrineWorkerOptions): Promise<EngineClient> {
  return startEngine(options.worker ?? ownWorker(), options.store);
}

/** Bundlers that make a plain script know no `import.meta.url`; then there is no address beside which the file lies. */
function ownWorker(): Worker {
  try {
    return new Worker(new URL('../workers/engine.ts', import.meta.url), { type: 'module' });
  } catch (cause) {
    const reason = 'the worker file has no address here: hand in a worker of vitrine/worker';
    throw new VitrineError('worker-start', { reason }, { cause });
  }
}

// The worker's side of supervision: hold a lock for life, then say that the API is served.

import { expose } from 'comlink';
import { installErrorTransfer } from './error-transfer.ts';
import type { WorkerReady } from './supervision.ts';

/** Serves `api` to the worker's owner. Called once, last, by a composition root. */
export function serve(api: object): void {
  installErrorTransfer();
  expose(api);
  const locks = (globalThis as { navigator?: { locks?: LockManager } }).navigator?.locks;
  if (locks === undefined) {
    announce({ vitrine: 'ready', lock: null });
    return;
  }
  const lock = `vitrine-worker-${crypto.randomUUID()}`;
  // Never resolves: the platform gives the lock back when the worker is gone.
  const forLife = (): Promise<never> => {
    announce({ vitrine: 'ready', lock });
    return new Promise(() => {});
  };
  locks.request(lock, forLife).catch(() => announce({ vitrine: 'ready', lock: null }));
}

function announce(message: WorkerReady): void {
  // In a worker the global postMessage takes the message alone.
  (globalThis as unknown as { postMessage(message: WorkerReady): void }).postMessage(message);
}

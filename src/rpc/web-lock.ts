// The engine's lock as a Web Lock, so that two tabs with one store do not collect what the other is saving.

import { LocalLock, type Lock } from '../engine/lock.ts';

/** The lock of a store by its name; a lock for this process alone where the platform has no Web Locks. */
export function openWebLock(name: string): Lock {
  const locks = (globalThis as { navigator?: { locks?: LockManager } }).navigator?.locks;
  if (locks === undefined) return new LocalLock();
  const run = <T>(mode: LockMode, work: () => Promise<T>): Promise<T> =>
    locks.request(`vitrine-store-${name}`, { mode }, work) as Promise<T>;
  return {
    shared: (work) => run('shared', work),
    exclusive: (work) => run('exclusive', work),
  };
}

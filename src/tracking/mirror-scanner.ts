// The MirrorScanner port: threads that compare all of a guest's memory with its mirror, which they share, where this thread
// would compare it alone. What stands behind it reads the guest's memory by itself.

import type { PageSet } from '../memory/page-set.ts';
import type { Mirror } from './mirror.ts';

export interface MirrorScanner {
  /** Starts what has to be started, so that a guest that rests need not wait for it. */
  prepare(): Promise<void>;

  /** Adds the pages that guest and mirror differ in to `differing`, a set a region. The guest is paused. */
  compare(differing: readonly PageSet[]): Promise<void>;

  /**
   * Copies pages that differ into the mirror and adds them to `taken`, also when it throws. The guest may run on: each page is
   * as it was at some time during the call.
   */
  take(taken: readonly PageSet[]): Promise<void>;

  /** Nobody needs the mirror any more: lets go of it. */
  close(): void;
}

/** Opens the scanner of a mirror, which must be in shared memory. */
export type OpenMirrorScanner = (mirror: Mirror) => MirrorScanner;

// The DigestScanner port: whoever knows a digest of each page of a guest's memory, tells which pages hold something else by
// now, and keeps copies of some. What stands behind it reads the memory in threads.

import type { OwnedBytes } from '../base/bytes.ts';
import type { PageSet } from '../memory/page-set.ts';
import type { PageFile, TrackerDescription } from './tracker.ts';

/** Pages, and the digests of them, 32 bytes each. */
export interface DigestedPages {
  readonly bytes: OwnedBytes;
  readonly digests: Uint8Array;
}

export interface DigestScanner {
  /** How many pages the last scan was to look at; all when left out. */
  readonly lookedCount?: number;

  /** How it finds what changed, where that is not by looking at all pages. */
  readonly tier?: Pick<TrackerDescription, 'tier' | 'tierReason'> | undefined;

  /**
   * Looks at all memory, or with `only` at these pages and those of `keep`. Adds to `changed`, a set a region, the pages that hold
   * something else than when it last looked, also when it throws. With `keep` it drops the copies it has and copies anew, as long as there is room, pages that changed and
   * those of `keep`; a guest at rest is then copied as it is.
   */
  scan(changed: readonly PageSet[], keep?: readonly PageSet[], only?: readonly PageSet[]): Promise<void>;

  /**
   * About how many pages hold something else by now, which takes far less than a scan. Adds to `changed` those that it looked at and
   * that do. The guest may run.
   */
  soundOut(changed: readonly PageSet[]): Promise<number>;

  /** Adds to `found` the pages that hold something, of a guest that may run. What is known of them stays as it is. */
  findNonZero(found: readonly PageSet[]): Promise<void>;

  /** Where threads read a region of a guest that may run; undefined where that is no file. */
  fileOf(region: number): PageFile | undefined;

  /** The copy of a page; undefined when there is none. Valid until the next scan. */
  kept(region: number, page: number): Uint8Array | undefined;

  /** Whether a page held zeros when it was last looked at. */
  isZero(region: number, page: number): boolean;

  /** Whether a page held what has this digest when it was last looked at. */
  holds(region: number, page: number, digest: Uint8Array): boolean;

  /**
   * Takes what a page holds as known: its digest of 32 bytes, zeros for a page of zeros. `wasHeld` where the guest held that at
   * some time since the last scan began; not so of what it shall hold.
   */
  learn(region: number, page: number, digest: Uint8Array, wasHeld?: boolean): void;

  /** Digests whole pages, wherever they are from. `bytes`, and what lies beside them in their buffer, are gone until it resolves. */
  digest(bytes: OwnedBytes, pageBytes: number): Promise<DigestedPages>;
}

/** Where pages wait to be put into a guest, outside of this process's memory. */
export interface StagingArea {
  /** Writes whole pages from `page` on. Throws `memory-exhausted` when there is no room. */
  write(region: number, page: number, bytes: Uint8Array): void;
  /** Reads pages that were written, from `page` on. */
  read(region: number, page: number, into: Uint8Array): void;
  /** Gives its room back. */
  clear(): void;
}

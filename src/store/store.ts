// The Store port: objects by key, and refs that move by compare-and-swap. Five verbs, so that a new store is one
// file; `testing/store-contract` is what each must pass.
//
// An object is written once and never changed; putting the same key again with the same bytes does nothing.
// A ref is the only thing that changes, and the only thing written with the platform's strictest durability:
// when `compareAndSwap` has resolved, the ref and every object put before it survive a crash.

import type { OwnedBytes } from '../base/bytes.ts';

/** Lower-case path segments: `packs/3f…`, `refs/snapshots/3f…`. Refs start with `refs/`, objects do not. */
export type Key = string;

/** Keys match this; nothing else reaches a file system or database. */
export const KEY_PATTERN = /^[a-z0-9][a-z0-9._-]{0,127}(\/[a-z0-9][a-z0-9._-]{0,127}){0,3}$/;

/** What a store promises. */
export interface StoreTraits {
  readonly kind: string;
  /** What survives when `compareAndSwap` has resolved: nothing, a closed tab or killed process, a power cut. */
  readonly durability: 'none' | 'process' | 'power';
  readonly maxObjectBytes: number;
}

export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export interface Store {
  readonly traits: StoreTraits;

  /**
   * Keeps an object. Its bytes are not kept by reference: the caller may reuse them when this has ended. They may lie in memory that
   * threads share, which nobody writes until then.
   *
   * On failure the object is absent or complete, never partial. Throws `store-full`, `store-io`, `store-closed`,
   * `store-object-too-large`, `store-key-invalid`.
   */
  put(key: Key, bytes: Uint8Array): Promise<void>;

  /**
   * The bytes of an object or ref, or of a range of it; undefined when there is none.
   *
   * A range past the end throws `format-truncated`: the object is shorter than its reader was told.
   */
  get(key: Key, range?: ByteRange): Promise<OwnedBytes | undefined>;

  /** All keys that start with `prefix`, in ascending order. */
  list(prefix: string): Promise<Key[]>;

  /** Removes objects; keys that are not there are passed over. Refs are removed by `compareAndSwap`. */
  delete(keys: readonly Key[]): Promise<void>;

  /**
   * Moves a ref from `expected` to `next`; null stands for "there is no such ref".
   *
   * Atomic and durable: on success it and all objects put before are kept. Throws `store-conflict` when the ref
   * holds something else, and then changes nothing.
   */
  compareAndSwap(ref: Key, expected: OwnedBytes | null, next: OwnedBytes | null): Promise<void>;

  /** Ends the use of the store. May be called again; later calls throw `store-closed`. */
  close(): Promise<void>;
}

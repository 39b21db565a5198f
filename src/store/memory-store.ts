// A store in memory: for guests that need to go back while the tab is open, and for tests. Nothing survives the
// worker it lives in. Every call reads or changes the contents in one go, without giving up control in between,
// which is all that makes `compareAndSwap` atomic here.

import { copyBytes, type OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { MIB } from '../base/limits.ts';
import {
  checkKey,
  checkObjectKey,
  checkPrefix,
  checkRange,
  checkRef,
  checkSize,
  isSameRef,
  placeOf,
} from './checks.ts';
import { Lifetime } from './lifetime.ts';
import type { ByteRange, Key, Store, StoreTraits } from './store.ts';

export interface MemoryStoreOptions {
  /** Bytes of objects and refs that it takes before it throws `store-full`; without a bound when left out. */
  readonly capacityBytes?: number;
  /** Largest object; 1 GiB when left out, which is below what every engine allocates in one array. */
  readonly maxObjectBytes?: number;
  /** Where objects and refs are kept: give one map to several stores and they share them, like two tabs. */
  readonly contents?: Map<Key, OwnedBytes>;
}

/** A store that forgets. */
export interface MemoryStore extends Store {
  /** Bytes of objects and refs that it holds. */
  readonly usedBytes: number;
}

/** Opens a store in memory. */
export function openMemoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  return new MapStore(options);
}

class MapStore implements MemoryStore {
  readonly traits: StoreTraits;
  readonly #contents: Map<Key, OwnedBytes>;
  readonly #capacityBytes: number;
  readonly #lifetime = new Lifetime('memory');

  constructor(options: MemoryStoreOptions) {
    this.traits = {
      kind: 'memory',
      durability: 'none',
      maxObjectBytes: options.maxObjectBytes ?? 1024 * MIB,
    };
    this.#contents = options.contents ?? new Map();
    this.#capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
  }

  get usedBytes(): number {
    let usedBytes = 0;
    for (const bytes of this.#contents.values()) usedBytes += bytes.length;
    return usedBytes;
  }

  put(key: Key, bytes: Uint8Array): Promise<void> {
    return this.#lifetime.use(async () => {
      checkObjectKey(key);
      checkSize(this.traits, key, bytes);
      this.#set(key, bytes);
    });
  }

  get(key: Key, range?: ByteRange): Promise<OwnedBytes | undefined> {
    return this.#lifetime.use(async () => {
      checkKey(key);
      checkRange(range);
      const bytes = this.#contents.get(key);
      if (bytes === undefined) return undefined;
      const { start, end } = placeOf(key, bytes.length, range);
      return bytes.slice(start, end);
    });
  }

  list(prefix: string): Promise<Key[]> {
    return this.#lifetime.use(async () => {
      checkPrefix(prefix);
      return [...this.#contents.keys()].filter((key) => key.startsWith(prefix)).sort();
    });
  }

  delete(keys: readonly Key[]): Promise<void> {
    return this.#lifetime.use(async () => {
      for (const key of keys) checkObjectKey(key);
      for (const key of keys) this.#contents.delete(key);
    });
  }

  compareAndSwap(ref: Key, expected: OwnedBytes | null, next: OwnedBytes | null): Promise<void> {
    return this.#lifetime.use(async () => {
      checkRef(ref);
      if (next !== null) checkSize(this.traits, ref, next);
      const current = this.#contents.get(ref) ?? null;
      if (!isSameRef(current, expected)) throw new VitrineError('store-conflict', { ref });
      if (next === null) this.#contents.delete(ref);
      else this.#set(ref, next);
    });
  }

  close(): Promise<void> {
    return this.#lifetime.close();
  }

  /** Replaces an object too: putting it again mends a damaged one, in all stores. */
  #set(key: Key, bytes: Uint8Array): void {
    if (this.#capacityBytes !== Number.POSITIVE_INFINITY) {
      const neededBytes = this.usedBytes - (this.#contents.get(key)?.length ?? 0) + bytes.length;
      if (neededBytes > this.#capacityBytes) {
        throw new VitrineError('store-full', { key, neededBytes, capacityBytes: this.#capacityBytes });
      }
    }
    this.#contents.set(key, copyBytes(bytes));
  }
}

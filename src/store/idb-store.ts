// A store in IndexedDB: what keeps snapshots in a browser. Any number of tabs may use one database at once; refs are
// safe by the transaction of `compareAndSwap`, objects because they are written once.
//
// IndexedDB reads whole records, and peek and lazy restore read 64 KiB frames, so an object is kept in parts of
// 512 KiB. Measured in Chromium 156 (2 cores, medians of 24, milliseconds):
//
//   | part      | write 4 MiB | read 64 KiB | read 4 MiB |
//   | 4,096 KiB |       22–35 |         8.1 |        8.2 |
//   | 1,024 KiB |          17 |         2.8 |       10.7 |
//   |   512 KiB |          17 |         1.7 |       10.7 |
//   |   256 KiB |       22–25 |         1.2 |       13.5 |
//   |    64 KiB |       49–58 |         0.8 |       29.6 |
//
// Buffers are stored, not Blobs: Chrome has lost blobs for good ("Failed to write blobs", seen by others in 2019).
// Objects are written with relaxed durability and refs with strict: a kill of the tab or browser loses nothing that
// was committed. A power cut may: Chromium 156 then syncs its log, but not the files in which it keeps the parts
// (seen with strace), and `traits.durability` says so.

import { deleteDB } from 'idb';
import { type OwnedBytes, ownBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { KIB, MIB } from '../base/limits.ts';
import {
  checkKey,
  checkObjectKey,
  checkPrefix,
  checkRange,
  checkRef,
  checkSize,
  isRef,
  isSameRef,
  placeOf,
} from './checks.ts';
import { IdbConnection, type IdbTransaction } from './idb-connection.ts';
import { Lifetime } from './lifetime.ts';
import type { ByteRange, Key, Store, StoreTraits } from './store.ts';

const PART_BYTES = 512 * KIB;
const DEFAULT_TIMEOUT_MS = 30_000;
/** Keys asked for at once: far below the 127 MiB of one message in Chrome, and few enough for tests to ask twice. */
const LIST_BATCH = 500;

const TRAITS: StoreTraits = { kind: 'idb', durability: 'process', maxObjectBytes: 4 * MIB };

export interface IdbStoreOptions {
  /** How long the platform may take for one call before it fails with `store-io`; 30 s when left out. */
  readonly timeoutMs?: number;
}

/**
 * Opens the store in the IndexedDB database of that name, which is made when there is none.
 *
 * Throws `store-io` when the platform refuses, `format-version` when a later release wrote the database.
 */
export async function openIdbStore(name: string, options: IdbStoreOptions = {}): Promise<Store> {
  const connection = new IdbConnection(name, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  await connection.open();
  return new IdbStore(connection);
}

/** Removes a database and all in it; stores that have it open are closed. */
export async function deleteIdbStore(name: string): Promise<void> {
  await deleteDB(name);
}

class IdbStore implements Store {
  readonly traits = TRAITS;
  readonly #connection: IdbConnection;
  readonly #lifetime = new Lifetime('idb');

  constructor(connection: IdbConnection) {
    this.#connection = connection;
  }

  put(key: Key, bytes: Uint8Array): Promise<void> {
    return this.#lifetime.use(async () => {
      checkObjectKey(key);
      checkSize(TRAITS, key, bytes);
      const stores = ['lengths', 'parts'] as const;
      const about = { key, lengthBytes: bytes.length };
      await this.#connection.transact({ stores, mode: 'readwrite', repeatable: true, about }, (transaction) =>
        writeObject(transaction, key, ownBytes(bytes)),
      );
    });
  }

  get(key: Key, range?: ByteRange): Promise<OwnedBytes | undefined> {
    return this.#lifetime.use(async () => {
      checkKey(key);
      checkRange(range);
      if (isRef(key)) return this.#getRef(key, range);
      const stores = ['lengths', 'parts'] as const;
      return this.#connection.transact(
        { stores, mode: 'readonly', repeatable: true, about: { key } },
        (transaction) => readObject(transaction, key, range),
      );
    });
  }

  list(prefix: string): Promise<Key[]> {
    return this.#lifetime.use(async () => {
      checkPrefix(prefix);
      const stores = ['lengths', 'refs'] as const;
      return this.#connection.transact(
        { stores, mode: 'readonly', repeatable: true, about: { prefix } },
        async (transaction) => {
          const keys: Key[] = [];
          for (const store of stores) {
            // Keys are ASCII, so all that start with the prefix sort below prefix + U+FFFF.
            let range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
            for (;;) {
              const batch = await transaction.objectStore(store).getAllKeys(range, LIST_BATCH);
              for (const key of batch) keys.push(key);
              const last = batch[LIST_BATCH - 1];
              if (last === undefined) break;
              range = IDBKeyRange.bound(last, `${prefix}\uffff`, true);
            }
          }
          return keys.sort();
        },
      );
    });
  }

  delete(keys: readonly Key[]): Promise<void> {
    return this.#lifetime.use(async () => {
      for (const key of keys) checkObjectKey(key);
      const stores = ['lengths', 'parts'] as const;
      const about = { keyCount: keys.length };
      await this.#connection.transact(
        { stores, mode: 'readwrite', repeatable: true, about },
        async (transaction) => {
          const lengths = transaction.objectStore('lengths');
          const parts = transaction.objectStore('parts');
          for (const key of keys) {
            send(lengths.delete(key));
            send(parts.delete(partsFrom(key, 0)));
          }
        },
      );
    });
  }

  compareAndSwap(ref: Key, expected: OwnedBytes | null, next: OwnedBytes | null): Promise<void> {
    return this.#lifetime.use(async () => {
      checkRef(ref);
      if (next !== null) checkSize(TRAITS, ref, next);
      // Not repeatable: when the connection is lost under it, nobody knows whether it was done.
      await this.#connection.transact(
        { stores: ['refs'], mode: 'readwrite', durability: 'strict', repeatable: false, about: { ref } },
        async (transaction) => {
          const refs = transaction.objectStore('refs');
          const held = await refs.get(ref);
          const current = held === undefined ? null : new Uint8Array(held);
          if (!isSameRef(current, expected)) throw new VitrineError('store-conflict', { ref });
          send(next === null ? refs.delete(ref) : refs.put(bufferOf(next), ref));
        },
      );
    });
  }

  close(): Promise<void> {
    return this.#lifetime.close(() => this.#connection.close());
  }

  async #getRef(ref: Key, range: ByteRange | undefined): Promise<OwnedBytes | undefined> {
    const held = await this.#connection.transact(
      { stores: ['refs'], mode: 'readonly', repeatable: true, about: { ref } },
      (transaction) => transaction.objectStore('refs').get(ref),
    );
    if (held === undefined) return undefined;
    const { start, end } = placeOf(ref, held.byteLength, range);
    return new Uint8Array(held).slice(start, end);
  }
}

type ObjectStores = readonly ['lengths', 'parts'];

async function writeObject(
  transaction: IdbTransaction<ObjectStores, 'readwrite'>,
  key: Key,
  bytes: OwnedBytes,
): Promise<void> {
  const parts = transaction.objectStore('parts');
  const partCount = Math.ceil(bytes.length / PART_BYTES);
  send(parts.delete(partsFrom(key, partCount)));
  for (let part = 0; part < partCount; part++) {
    const bytesOfPart = bytes.subarray(part * PART_BYTES, (part + 1) * PART_BYTES);
    send(parts.put(bufferOf(bytesOfPart), [key, part]));
  }
  send(transaction.objectStore('lengths').put(bytes.length, key));
}

/** Leaves a write to its transaction, which fails when it does and tells why. */
function send(request: Promise<unknown>): void {
  request.catch(() => {});
}

/** Asks for the length and the parts at once: one way to the database and back. */
async function readObject(
  transaction: IdbTransaction<ObjectStores, 'readonly'>,
  key: Key,
  range: ByteRange | undefined,
): Promise<OwnedBytes | undefined> {
  const firstPart = range === undefined ? 0 : Math.floor(range.offsetBytes / PART_BYTES);
  const endBytes = range === undefined ? TRAITS.maxObjectBytes : range.offsetBytes + range.lengthBytes;
  const endPart = Math.ceil(Math.min(endBytes, TRAITS.maxObjectBytes) / PART_BYTES);
  const [sizeBytes, parts] = await Promise.all([
    transaction.objectStore('lengths').get(key),
    endPart > firstPart
      ? transaction.objectStore('parts').getAll(IDBKeyRange.bound([key, firstPart], [key, endPart - 1]))
      : [],
  ]);
  if (sizeBytes === undefined) return undefined;

  const { start, end } = placeOf(key, sizeBytes, range);
  const whole = new Uint8Array(end - start);
  let at = firstPart * PART_BYTES;
  for (const part of parts) {
    const bytes = new Uint8Array(part).subarray(Math.max(0, start - at), Math.max(0, end - at));
    whole.set(bytes, Math.max(0, at - start));
    at += part.byteLength;
  }
  if (at < end) throw new VitrineError('store-io', { key, sizeBytes, reason: 'parts are missing' });
  return whole;
}

/** The parts of an object from one on: arrays sort after all numbers. */
function partsFrom(key: Key, part: number): IDBKeyRange {
  return IDBKeyRange.bound([key, part], [key, []]);
}

/** A buffer with these bytes alone. IndexedDB clones it, so it is copied before only where more lies in it. */
function bufferOf(bytes: OwnedBytes): ArrayBuffer {
  return bytes.length === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
}

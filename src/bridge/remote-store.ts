// A host's store from outside: the Store port over a bridge. An engine over it reads and writes what the host's own engine
// does; peeks, diffs and verifications are safe beside it. Two engines that write need a common lock, which a bridge does
// not carry: a client that saves or collects over it must be the only one that does.

import { concatBytes, copyBytes, type OwnedBytes } from '../base/bytes.ts';
import { checkKey, checkObjectKey, checkPrefix, checkRange, checkRef, checkSize } from '../store/checks.ts';
import { Lifetime } from '../store/lifetime.ts';
import type { ByteRange, Key, Store, StoreTraits } from '../store/store.ts';
import type { BridgeClient } from './bridge-client.ts';
import { BRIDGE_LIMITS } from './bridge-limits.ts';

/** Keys of one request to delete. */
const DELETE_KEYS = 256;

export class RemoteStore implements Store {
  readonly traits: StoreTraits;
  readonly #client: BridgeClient;
  readonly #lifetime: Lifetime;

  constructor(client: BridgeClient) {
    this.#client = client;
    const { kind, durability, maxObjectBytes } = client.host.store;
    this.traits = {
      kind: `remote ${kind}`,
      durability,
      maxObjectBytes: Math.min(maxObjectBytes, BRIDGE_LIMITS.maxStoreObjectBytes),
    };
    this.#lifetime = new Lifetime(this.traits.kind);
  }

  put(key: Key, bytes: Uint8Array): Promise<void> {
    return this.#lifetime.use(async () => {
      checkObjectKey(key);
      checkSize(this.traits, key, bytes);
      const options = { input: once(copyBytes(bytes)) };
      await this.#connection.call('storePut', { key, lengthBytes: bytes.length }, options);
    });
  }

  get(key: Key, range?: ByteRange): Promise<OwnedBytes | undefined> {
    return this.#lifetime.use(async () => {
      checkKey(key);
      checkRange(range);
      const parts: OwnedBytes[] = [];
      const { found } = await this.#connection.call(
        'storeGet',
        { key, ...(range === undefined ? {} : { range: { ...range } }) },
        { onBytes: (bytes) => void parts.push(bytes) },
      );
      return found ? concatBytes(parts) : undefined;
    });
  }

  list(prefix: string): Promise<Key[]> {
    return this.#lifetime.use(async () => {
      checkPrefix(prefix);
      return (await this.#connection.collect('storeList', { prefix })).items;
    });
  }

  delete(keys: readonly Key[]): Promise<void> {
    return this.#lifetime.use(async () => {
      for (const key of keys) checkObjectKey(key);
      for (let first = 0; first < keys.length; first += DELETE_KEYS) {
        await this.#connection.call('storeDelete', { keys: keys.slice(first, first + DELETE_KEYS) });
      }
    });
  }

  compareAndSwap(ref: Key, expected: OwnedBytes | null, next: OwnedBytes | null): Promise<void> {
    return this.#lifetime.use(async () => {
      checkRef(ref);
      if (next !== null) checkSize(this.traits, ref, next);
      const input = once(concatBytes([expected ?? NO_BYTES, next ?? NO_BYTES]));
      const params = { ref, expectedBytes: expected?.length ?? null, nextBytes: next?.length ?? null };
      await this.#connection.call('storeSwap', params, { input });
    });
  }

  /** Ends the use of the store; the bridge stays open. */
  close(): Promise<void> {
    return this.#lifetime.close(async () => {});
  }

  get #connection() {
    return this.#client.link.connection;
  }
}

const NO_BYTES = new Uint8Array(0);

async function* once(bytes: OwnedBytes): AsyncGenerator<OwnedBytes> {
  yield bytes;
}

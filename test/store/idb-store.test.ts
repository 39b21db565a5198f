// The IndexedDB store keeps the contract of stores over fake-indexeddb; test/browser/store.test.ts asks the same of
// Chromium. Here stand the failures that a browser does not show on demand.

import 'fake-indexeddb/auto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { deleteIdbStore, openIdbStore } from '../../src/store/idb-store.ts';
import type { Store } from '../../src/store/store.ts';
import { storeContract } from '../../src/testing/store-contract.ts';
import { seedOfRun } from '../support/seed.ts';

let nameCount = 0;

const openSubject = async () => {
  const name = `contract-${nameCount++}`;
  const opened: Store[] = [];
  const open = async () => {
    const store = await openIdbStore(name);
    opened.push(store);
    return store;
  };
  const destroy = async () => {
    for (const store of opened) await store.close();
    await deleteIdbStore(name);
  };
  return { store: await open(), reopen: open, destroy };
};

storeContract('idb', openSubject, { describe, expect, it }, { seed: seedOfRun() });

describe('idb store when the platform fails', () => {
  afterEach(() => void vi.restoreAllMocks());

  const one = Uint8Array.of(1);
  const openNew = async (timeoutMs?: number) => {
    const name = `faults-${nameCount++}`;
    return { name, store: await openIdbStore(name, timeoutMs === undefined ? {} : { timeoutMs }) };
  };

  it('throws store-full for a quota at any part of an object, and keeps none of it', async () => {
    const { store } = await openNew();
    const bytes = new Uint8Array(1_300_000).fill(7);
    await store.put('packs/kept', bytes);
    // Three parts and a length are four puts.
    for (let n = 0; n < 4; n++) {
      failPut(n, new DOMException('no room', 'QuotaExceededError'));
      await expect(store.put('packs/new', bytes)).rejects.toMatchObject({ code: 'store-full' });
      await expect(store.put('packs/kept', one)).resolves.toBe(undefined);
      vi.restoreAllMocks();
      expect(await store.list('')).toEqual(['packs/kept']);
      expect((await store.get('packs/kept'))?.length).toBe(1);
      await store.put('packs/kept', bytes);
    }
    failPut(1, new DOMException('disk', 'UnknownError'));
    await expect(store.put('packs/kept', new Uint8Array(1_000_000))).rejects.toMatchObject({
      code: 'store-io',
    });
    vi.restoreAllMocks();
    expect((await store.get('packs/kept'))?.length).toBe(1_300_000);
  });

  it('opens a lost connection again, once a call', async () => {
    const { store } = await openNew();
    const lost = () => new DOMException('The database connection is closing.', 'InvalidStateError');
    failTransactions(lost, 1);
    await store.put('packs/a', one);
    failTransactions(lost, 1);
    await store.compareAndSwap('refs/head', null, one);
    failTransactions(lost, 2);
    await expect(store.get('packs/a')).rejects.toMatchObject({ code: 'store-closed' });
    expect(await store.list('')).toEqual(['packs/a', 'refs/head']);
  });

  it('repeats what is lost half-way, but not a compareAndSwap', async () => {
    const { store } = await openNew();
    await store.put('packs/a', one);
    await store.compareAndSwap('refs/head', null, one);
    const lost = new DOMException('Connection to Indexed Database server lost.', 'UnknownError');
    const gets = vi.spyOn(IDBObjectStore.prototype, 'get');
    gets.mockImplementationOnce(() => {
      throw lost;
    });
    expect(await store.get('packs/a')).toEqual(one);
    gets.mockImplementationOnce(() => {
      throw lost;
    });
    await expect(store.compareAndSwap('refs/head', one, null)).rejects.toMatchObject({
      code: 'store-closed',
    });
    expect(await store.get('refs/head')).toEqual(one);
  });

  it('gives a hung call up with store-io and goes on after it', async () => {
    const { name, store } = await openNew(50);
    await store.put('packs/a', one);
    const release = await holdDatabase(name);
    await expect(store.put('packs/b', one)).rejects.toMatchObject({
      code: 'store-io',
      data: { reason: 'timeout' },
    });
    await release();
    expect(await store.list('')).toEqual(['packs/a']);
    await store.put('packs/b', one);
  });

  it('lets go when the database is deleted elsewhere', async () => {
    const { name, store } = await openNew();
    await store.put('packs/a', one);
    await deleteIdbStore(name);
    await expect(store.get('packs/a')).rejects.toMatchObject({ code: 'store-closed' });
    await store.close();
    expect(await (await openIdbStore(name)).list('')).toEqual([]);
  });

  it('refuses a database of a later release', async () => {
    const name = `faults-${nameCount++}`;
    await new Promise<void>((resolve) => {
      const opening = indexedDB.open(name, 9);
      opening.onsuccess = () => {
        opening.result.close();
        resolve();
      };
    });
    await expect(openIdbStore(name)).rejects.toMatchObject({ code: 'format-version' });
  });
});

/** Makes the put after `n` others fail, as the transaction sees it. */
function failPut(n: number, error: DOMException): void {
  const real = IDBObjectStore.prototype.put;
  let count = 0;
  vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(function (this: IDBObjectStore, ...call) {
    if (count++ === n) throw error;
    return real.apply(this, call);
  });
}

/** Makes that many transactions fail to begin. */
function failTransactions(error: () => DOMException, times: number): void {
  const spy = vi.spyOn(IDBDatabase.prototype, 'transaction');
  for (let i = 0; i < times; i++) {
    spy.mockImplementationOnce(() => {
      throw error();
    });
  }
}

/** Keeps everybody else from writing until the function that it resolves with is called. */
async function holdDatabase(name: string): Promise<() => Promise<void>> {
  const database = await new Promise<IDBDatabase>((resolve) => {
    const opening = indexedDB.open(name);
    opening.onsuccess = () => resolve(opening.result);
  });
  let held = true;
  const transaction = database.transaction(['lengths', 'parts', 'refs'], 'readwrite');
  const ended = new Promise<void>((resolve) => {
    transaction.oncomplete = () => resolve();
  });
  const askAgain = (): void => {
    transaction.objectStore('refs').get('none').onsuccess = () => {
      if (held) askAgain();
    };
  };
  askAgain();
  return async () => {
    held = false;
    await ended;
    database.close();
  };
}

// The memory store keeps the contract of stores, and its own bound.

import { describe, expect, it } from 'vitest';
import type { OwnedBytes } from '../../src/base/bytes.ts';
import { MIB } from '../../src/base/limits.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { storeContract } from '../../src/testing/store-contract.ts';
import { seedOfRun } from '../support/seed.ts';

const openSubject = async () => {
  const contents = new Map<string, OwnedBytes>();
  const open = () => openMemoryStore({ contents, maxObjectBytes: 4 * MIB });
  return { store: open(), reopen: async () => open(), destroy: async () => contents.clear() };
};

storeContract('memory', openSubject, { describe, expect, it }, { seed: seedOfRun() });

describe('memory store', () => {
  it('throws store-full at its capacity and keeps what it has', async () => {
    const store = openMemoryStore({ capacityBytes: 100 });
    await store.put('a', new Uint8Array(60));
    await expect(store.put('b', new Uint8Array(41))).rejects.toMatchObject({ code: 'store-full' });
    await expect(store.compareAndSwap('refs/r', null, new Uint8Array(41))).rejects.toMatchObject({
      code: 'store-full',
    });
    expect(await store.list('')).toEqual(['a']);
    await store.put('b', new Uint8Array(40));
    expect(store.usedBytes).toBe(100);
    await store.put('a', new Uint8Array(60));
    await store.delete(['a']);
    await store.put('c', new Uint8Array(60));
    expect(store.usedBytes).toBe(100);
  });
});

// A host's store over a bridge keeps the contract of stores, and an engine over it works.

import { describe, expect, it } from 'vitest';
import type { OwnedBytes } from '../../src/base/bytes.ts';
import { MIB } from '../../src/base/limits.ts';
import { grantOf } from '../../src/bridge/grant.ts';
import { RemoteStore } from '../../src/bridge/remote-store.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { storeContract } from '../../src/testing/store-contract.ts';
import { openTestEngine } from '../support/engine.ts';
import { seedOfRun } from '../support/seed.ts';
import { openFlatHost } from './bridge-host.ts';
import { connectTo } from './connect.ts';

const openSubject = async () => {
  const contents = new Map<string, OwnedBytes>();
  const host = await openFlatHost({}, { store: openMemoryStore({ contents, maxObjectBytes: 4 * MIB }) });
  // The contract makes thousands of calls in a row.
  const { client } = await connectTo(host, { session: { requestBurst: 1e6, maxRequests: 1000 } });
  return {
    store: new RemoteStore(client),
    reopen: async () => new RemoteStore(client),
    destroy: async () => client.close(),
  };
};

storeContract('remote', openSubject, { describe, expect, it }, { seed: seedOfRun() });

describe('a remote store', () => {
  it('is what an engine looks into a far snapshot by', async () => {
    const host = await openFlatHost({ alpha: 64 });
    const { guest, memory, machine } = host.flat.get('alpha')!;
    guest.run(1000);
    const { snapshot } = await machine.save();
    const { client } = await connectTo(host, { grant: grantOf('reader', { '*': ['observe', 'export'] }) });
    const engine = await openTestEngine(new RemoteStore(client));
    const [bytes] = await engine.peek(snapshot.id, [{ address: 0, lengthBytes: memory.length }]);
    expect(Buffer.compare(bytes!, memory)).toBe(0);
    await expect(engine.delete([snapshot.id])).rejects.toMatchObject({ code: 'permission-denied' });
    await expect(new RemoteStore(client).put('packs/1', Uint8Array.of(1))).rejects.toMatchObject({
      code: 'permission-denied',
    });
  });

  it('is for nobody who may export single machines alone', async () => {
    const host = await openFlatHost({ alpha: 4 });
    const { client } = await connectTo(host, { grant: grantOf('one', { alpha: ['observe', 'export'] }) });
    await expect(new RemoteStore(client).list('')).rejects.toMatchObject({ code: 'permission-denied' });
  });
});

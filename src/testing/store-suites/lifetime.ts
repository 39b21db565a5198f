// The store contract: from open to close.

import { codeOf, type StoreSuite } from './subject.ts';

/** Declares the tests. */
export function lifetimeSuite({ test, expect, expectHeld, random }: StoreSuite): void {
  test('is the same when opened again', async ({ store, reopen }) => {
    const bytes = random.bytes(900_000);
    await store.put('packs/one', bytes);
    await store.compareAndSwap('refs/head', null, bytes.subarray(0, 32));
    await store.close();
    const again = await reopen();
    expect(await again.list('')).toEqual(['packs/one', 'refs/head']);
    await expectHeld(again, 'packs/one', bytes);
    await again.compareAndSwap('refs/head', bytes.subarray(0, 32), bytes.subarray(32, 64));
    await again.close();
    await expectHeld(await reopen(), 'refs/head', bytes.subarray(32, 64));
  });

  test('refuses calls after close', async ({ store }) => {
    await store.put('packs/one', Uint8Array.of(1));
    await Promise.all([store.close(), store.close()]);
    await store.close();
    expect([
      await codeOf(store.put('packs/two', Uint8Array.of(1))),
      await codeOf(store.get('packs/one')),
      await codeOf(store.list('')),
      await codeOf(store.delete([])),
      await codeOf(store.compareAndSwap('refs/head', null, null)),
    ]).toEqual(Array<string>(5).fill('store-closed'));
  });

  test('ends what is under way before close resolves', async ({ store, reopen }) => {
    const bytes = random.bytes(800_000);
    const calls = Promise.all([
      store.put('packs/one', bytes),
      store.compareAndSwap('refs/head', null, bytes),
    ]);
    let settled = false;
    const watched = calls.finally(() => {
      settled = true;
    });
    await store.close();
    expect(settled).toBe(true);
    await watched;
    await expectHeld(await reopen(), 'packs/one', bytes);
  });
}

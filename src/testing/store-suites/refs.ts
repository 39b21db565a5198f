// The store contract: refs move by compare-and-swap.

import type { OwnedBytes } from '../../base/bytes.ts';
import type { Store } from '../../store/store.ts';
import { codeOf, type StoreSuite } from './subject.ts';

/** Declares the tests. */
export function refsSuite({ test, expect, expectHeld, random }: StoreSuite): void {
  test('moves a ref from what it holds, and from nothing else', async ({ store, reopen }) => {
    const [one, two, three] = [random.bytes(32), random.bytes(32), random.bytes(40)];
    const ref = 'refs/snapshots/head';
    expect(await codeOf(store.compareAndSwap(ref, one, two))).toBe('store-conflict');
    await store.compareAndSwap(ref, null, null);
    await expectHeld(store, ref, undefined);
    await store.compareAndSwap(ref, null, one);
    expect(await codeOf(store.compareAndSwap(ref, null, two))).toBe('store-conflict');
    expect(await codeOf(store.compareAndSwap(ref, null, one))).toBe('store-conflict');
    expect(await codeOf(store.compareAndSwap(ref, two, three))).toBe('store-conflict');
    expect(await codeOf(store.compareAndSwap(ref, one.subarray(0, 31), two))).toBe('store-conflict');
    await expectHeld(store, ref, one);
    await store.compareAndSwap(ref, one, three);
    await expectHeld(await reopen(), ref, three);
    expect(await codeOf(store.compareAndSwap(ref, one, null))).toBe('store-conflict');
    await store.compareAndSwap(ref, three, null);
    await expectHeld(store, ref, undefined);
    expect(await store.list('refs/')).toEqual([]);
    await store.compareAndSwap(ref, null, two);
    await expectHeld(store, ref, two);
    await store.compareAndSwap(ref, two, new Uint8Array(0));
    await store.compareAndSwap(ref, new Uint8Array(0), one);
    expect((await store.get(ref, { offsetBytes: 30, lengthBytes: 2 }))?.length).toBe(2);
  });

  test('lets one of several writers win', async ({ store, reopen }) => {
    const other = await reopen();
    let held: OwnedBytes | null = null;
    for (let round = 0; round < 5; round++) {
      const values = Array.from({ length: 8 }, () => random.bytes(32));
      const codes = await Promise.all(
        values.map((value, i) => codeOf((i % 2 === 0 ? store : other).compareAndSwap('refs/r', held, value))),
      );
      expect([...codes].sort()).toEqual(['done', ...Array<string>(7).fill('store-conflict')]);
      // Safe: one of eight codes is 'done'.
      held = values[codes.indexOf('done')]!;
      await expectHeld(store, 'refs/r', held);
      await expectHeld(other, 'refs/r', held);
    }
  });

  test('loses no step of writers that try again', async ({ store, reopen }) => {
    const stores = [store, await reopen(), await reopen()];
    await store.compareAndSwap('refs/count', null, Uint8Array.of(0));
    const countUp = async (one: Store): Promise<void> => {
      for (let steps = 0; steps < 6; ) {
        // Safe: the ref is never removed in this test.
        const current = (await one.get('refs/count'))!;
        const code = await codeOf(one.compareAndSwap('refs/count', current, Uint8Array.of(current[0]! + 1)));
        if (code === 'done') steps++;
        else expect(code).toBe('store-conflict');
      }
    };
    await Promise.all(stores.map(countUp));
    await expectHeld(store, 'refs/count', Uint8Array.of(18));
  });

  test('keeps refs apart', async ({ store }) => {
    const values = Array.from({ length: 10 }, () => random.bytes(32));
    await Promise.all(values.map((value, i) => store.compareAndSwap(`refs/r${i}`, null, value)));
    for (const [i, value] of values.entries()) await expectHeld(store, `refs/r${i}`, value);
  });
}

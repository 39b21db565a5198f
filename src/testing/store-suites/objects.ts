// The store contract: objects are kept whole, alone and by value, and read by range.

import { MIB } from '../../base/limits.ts';
import { codeOf, difference, type StoreSuite } from './subject.ts';

const VALID_KEYS = ['a', '0', 'packs/3f', 'a.b-c_d', 'w/x/y/z', `${'k'.repeat(128)}/${'k'.repeat(128)}`];

const LARGE_TEST_BYTES = 64 * MIB;

/** Declares the tests. */
export function objectsSuite({ test, expect, expectHeld, random }: StoreSuite): void {
  test('gives back what was put', async ({ store }) => {
    for (const [index, key] of VALID_KEYS.entries()) await store.put(key, random.bytes(index * 1000));
    const bytes = random.bytes(5000);
    await store.put('packs/one', bytes);
    await expectHeld(store, 'packs/one', bytes);
    await expectHeld(store, 'packs/two', undefined);
  });

  test('takes a key and longer ones that begin with it', async ({ store }) => {
    await store.put('a', Uint8Array.of(1));
    await store.put('a/b', Uint8Array.of(2));
    await store.put('a/b/c', Uint8Array.of(3));
    await store.put('a.b', Uint8Array.of(4));
    expect(await store.list('')).toEqual(['a', 'a.b', 'a/b', 'a/b/c']);
    await expectHeld(store, 'a', Uint8Array.of(1));
    await expectHeld(store, 'a/b', Uint8Array.of(2));
  });

  test('keeps an empty object', async ({ store, reopen }) => {
    await store.put('packs/empty', new Uint8Array(0));
    await expectHeld(await reopen(), 'packs/empty', new Uint8Array(0));
    await expectHeld(store, 'packs/empty', new Uint8Array(0));
    expect((await store.get('packs/empty', { offsetBytes: 0, lengthBytes: 0 }))?.length).toBe(0);
    expect(await store.list('packs/')).toEqual(['packs/empty']);
  });

  test('keeps the largest object and refuses a larger one', async ({ store }) => {
    const { maxObjectBytes } = store.traits;
    if (maxObjectBytes > LARGE_TEST_BYTES) return;
    const bytes = new Uint8Array(maxObjectBytes + 1);
    for (let at = 0; at < bytes.length; at += 997) bytes[at] = at >>> 10;
    expect(await codeOf(store.put('packs/large', bytes))).toBe('store-object-too-large');
    expect(await store.list('')).toEqual([]);
    await store.put('packs/large', bytes.subarray(1));
    await expectHeld(store, 'packs/large', bytes.subarray(1));
  });

  test('takes bytes of memory that threads share', async ({ store, reopen }) => {
    // A page that is not isolated has no such memory.
    if (typeof SharedArrayBuffer === 'undefined') return;
    const shared = new Uint8Array(new SharedArrayBuffer(3000));
    shared.set(random.bytes(3000));
    const content = Uint8Array.from(shared.subarray(500, 1500));
    await store.put('packs/one', shared.subarray(500, 1500));
    shared.fill(0xee);
    await expectHeld(store, 'packs/one', content);
    await expectHeld(await reopen(), 'packs/one', content);
  });

  test('keeps nothing by reference', async ({ store }) => {
    const bytes = random.bytes(3000);
    const view = bytes.subarray(500, 1500);
    const content = view.slice();
    await store.put('packs/one', view);
    await store.compareAndSwap('refs/head', null, view);
    bytes.fill(0xee);
    const first = await store.get('packs/one');
    expect(difference(first, content)).toBe('none');
    first?.fill(0xdd);
    (await store.get('refs/head'))?.fill(0xdd);
    await expectHeld(store, 'packs/one', content);
    await expectHeld(store, 'refs/head', content);
  });

  test('reads ranges', async ({ store }) => {
    const bytes = random.bytes(1_300_001);
    await store.put('packs/one', bytes);
    const edges = [
      0, 1, 4095, 4096, 65_535, 65_536, 524_287, 524_288, 524_289, 1_048_576, 1_300_000, 1_300_001,
    ];
    for (const start of edges) {
      for (const end of edges) {
        if (end < start) continue;
        const range = { offsetBytes: start, lengthBytes: end - start };
        const read = await store.get('packs/one', range);
        expect(`${start}-${end} ${difference(read, bytes.subarray(start, end))}`).toBe(
          `${start}-${end} none`,
        );
        // What is returned is the caller's: nothing else lies in its buffer.
        expect(read?.buffer.byteLength).toBe(read?.byteOffset === 0 ? read.byteLength : -1);
      }
    }
  });

  test('refuses ranges that an object does not have', async ({ store }) => {
    await store.put('packs/one', random.bytes(100));
    const refusal = (offsetBytes: number, lengthBytes: number) =>
      codeOf(store.get('packs/one', { offsetBytes, lengthBytes }));
    expect(await refusal(0, 101)).toBe('format-truncated');
    expect(await refusal(100, 1)).toBe('format-truncated');
    expect(await refusal(101, 0)).toBe('format-truncated');
    expect(await refusal(2 ** 40, 1)).toBe('format-truncated');
    expect(await refusal(1, Number.MAX_SAFE_INTEGER)).toBe('format-truncated');
    expect(await refusal(100, 0)).toBe('done');
    for (const bad of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      expect(await refusal(bad, 1)).toBe('argument-invalid');
      expect(await refusal(0, bad)).toBe('argument-invalid');
    }
    expect(await store.get('packs/none', { offsetBytes: 5, lengthBytes: 5 })).toBe(undefined);
  });

  test('takes the same object again', async ({ store, reopen }) => {
    const bytes = random.bytes(70_000);
    await store.put('packs/one', bytes);
    await store.put('packs/one', bytes);
    await (await reopen()).put('packs/one', bytes);
    await Promise.all([1, 2, 3, 4].map(() => store.put('packs/one', bytes)));
    await expectHeld(store, 'packs/one', bytes);
    expect(await store.list('')).toEqual(['packs/one']);
  });

  test('mends an object by putting it again', async ({ store }) => {
    const bytes = random.bytes(1_500_000);
    await store.put('packs/one', bytes.subarray(0, 70));
    await store.put('packs/one', bytes);
    await expectHeld(store, 'packs/one', bytes);
    await store.put('packs/one', bytes.subarray(0, 600_000));
    await expectHeld(store, 'packs/one', bytes.subarray(0, 600_000));
  });

  test('deletes objects and passes over those that are not there', async ({ store, reopen }) => {
    for (const key of ['packs/a', 'packs/b', 'packs/c', 'd']) await store.put(key, random.bytes(700_000));
    await store.delete([]);
    await store.delete(['packs/none', 'packs/a', 'none/at/all', 'd', 'packs/a']);
    expect(await store.list('')).toEqual(['packs/b', 'packs/c']);
    expect(await store.get('packs/a')).toBe(undefined);
    expect(await (await reopen()).list('')).toEqual(['packs/b', 'packs/c']);
    await store.put('packs/a', Uint8Array.of(7));
    await expectHeld(store, 'packs/a', Uint8Array.of(7));
  });
}

// The store contract: keys are checked and listed.

import { codeOf, type StoreSuite } from './subject.ts';

const INVALID_KEYS = [
  '',
  '/',
  '/a',
  'a/',
  'a//b',
  '.',
  '..',
  '../a',
  'a/../b',
  'a/.b',
  '-a',
  'A',
  'a b',
  'a\\b',
  'a\0',
  'a\n',
  'é',
  'a:b',
  'a/b/c/d/e',
  'k'.repeat(129),
];

const INVALID_PREFIXES = ['/', '..', '../', 'a/../', 'A', 'a//', '.', 'a b', 'a/b/c/d/e'];

/** Declares the tests. */
export function keysSuite({ test, expect }: StoreSuite): void {
  test('lists by prefix in ascending order', async ({ store }) => {
    const keys = ['packs/b', 'packs/a0', 'packs/a', 'packs-old/x', 'packs.x', 'index/a', 'packs/a/deep', 'q'];
    for (const key of keys) await store.put(key, Uint8Array.of(1));
    await store.compareAndSwap('refs/snapshots/one', null, Uint8Array.of(1));
    expect(await store.list('packs/')).toEqual(['packs/a', 'packs/a/deep', 'packs/a0', 'packs/b']);
    expect(await store.list('packs/a')).toEqual(['packs/a', 'packs/a/deep', 'packs/a0']);
    expect(await store.list('packs')).toEqual([
      'packs-old/x',
      'packs.x',
      'packs/a',
      'packs/a/deep',
      'packs/a0',
      'packs/b',
    ]);
    expect(await store.list('packs/c')).toEqual([]);
    expect(await store.list('none/')).toEqual([]);
    expect(await store.list('refs/')).toEqual(['refs/snapshots/one']);
    expect(await store.list('')).toEqual([...keys, 'refs/snapshots/one'].sort());
  });

  test('lists hundreds of keys', async ({ store }) => {
    const keys = Array.from({ length: 600 }, (_, i) => `index/${(i * 7919) % 600}`);
    for (let at = 0; at < keys.length; at += 100) {
      await Promise.all(keys.slice(at, at + 100).map((key) => store.put(key, Uint8Array.of(1))));
    }
    expect(JSON.stringify(await store.list('index/')) === JSON.stringify(keys.sort())).toBe(true);
  });

  test('refuses keys of another form', async ({ store }) => {
    const one = Uint8Array.of(1);
    for (const key of INVALID_KEYS) {
      const codes = [
        await codeOf(store.put(key, one)),
        await codeOf(store.get(key)),
        await codeOf(store.delete(['packs/a', key])),
        await codeOf(store.compareAndSwap(key, null, one)),
        await codeOf(store.compareAndSwap(`refs/${key}`, null, one)),
      ];
      expect([key, ...codes]).toEqual([key, ...Array<string>(5).fill('store-key-invalid')]);
    }
    for (const prefix of INVALID_PREFIXES) {
      expect([prefix, await codeOf(store.list(prefix))]).toEqual([prefix, 'store-key-invalid']);
    }
    expect(await store.list('')).toEqual([]);
  });

  test('keeps objects and refs apart', async ({ store }) => {
    const one = Uint8Array.of(1);
    expect(await codeOf(store.put('refs/head', one))).toBe('store-key-invalid');
    expect(await codeOf(store.compareAndSwap('packs/a', null, one))).toBe('store-key-invalid');
    expect(await codeOf(store.compareAndSwap('refs', null, one))).toBe('store-key-invalid');
    await store.compareAndSwap('refs/head', null, one);
    await store.put('packs/a', one);
    expect(await codeOf(store.delete(['packs/a', 'refs/head']))).toBe('store-key-invalid');
    expect(await store.list('')).toEqual(['packs/a', 'refs/head']);
  });
}

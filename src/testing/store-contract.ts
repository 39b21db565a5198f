// What every store must do, as tests: run it against a new store before anything else.
//
//   import { describe, expect, it } from 'vitest';
//   storeContract('my store', openSubject, { describe, expect, it });
//
// Each test opens a subject of its own. Error codes are compared, never messages; bytes are compared here and not
// by the test runner, which takes seconds for a megabyte. Crashes, full disks and lost power need means of their
// own and are asked in the tests of each store.

import { equalBytes, type OwnedBytes } from '../base/bytes.ts';
import { isVitrineError } from '../base/error.ts';
import { MIB } from '../base/limits.ts';
import type { Key, Store } from '../store/store.ts';
import { Random } from './random.ts';

/** An empty store, and a way to look at what it keeps through another one. */
export interface StoreSubject {
  readonly store: Store;
  /** Opens another store on the same contents, as another tab or process would; the first may still be open. */
  reopen(): Promise<Store>;
  /** Closes every store of this subject and removes what they kept. */
  destroy(): Promise<void>;
}

/** What the suite needs of a test runner; vitest, jest and node-mocha with an `expect` have it. */
export interface StoreTestApi {
  describe(name: string, body: () => void): void;
  it(name: string, body: () => Promise<void>, timeoutMs?: number): void;
  expect(actual: unknown): { toBe(expected: unknown): void; toEqual(expected: unknown): void };
}

export interface StoreContractOptions {
  /** Seed of the random calls; printed when they fail. */
  readonly seed?: number;
}

const VALID_KEYS = ['a', '0', 'packs/3f', 'a.b-c_d', 'w/x/y/z', `${'k'.repeat(128)}/${'k'.repeat(128)}`];

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

const LARGE_TEST_BYTES = 64 * MIB;
const TIMEOUT_MS = 60_000;

/** Declares the tests of the Store port for one store. */
export function storeContract(
  name: string,
  open: () => Promise<StoreSubject>,
  { describe, it, expect }: StoreTestApi,
  { seed = 1 }: StoreContractOptions = {},
): void {
  const random = new Random(seed);

  /** A test that gets a subject of its own, destroyed whatever happens. */
  const test = (title: string, body: (subject: StoreSubject) => Promise<void>): void => {
    const whole = async (): Promise<void> => {
      const subject = await open();
      try {
        await body(subject);
      } finally {
        await subject.destroy();
      }
    };
    it(title, whole, TIMEOUT_MS);
  };

  /** Expects that a key holds exactly these bytes, or nothing. */
  const expectHeld = async (store: Store, key: Key, bytes: Uint8Array | undefined): Promise<void> => {
    expect(difference(await store.get(key), bytes)).toBe('none');
  };

  describe(`store contract: ${name}`, () => {
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

    test('lists by prefix in ascending order', async ({ store }) => {
      const keys = [
        'packs/b',
        'packs/a0',
        'packs/a',
        'packs-old/x',
        'packs.x',
        'index/a',
        'packs/a/deep',
        'q',
      ];
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

    test('lists thousands of keys', async ({ store }) => {
      const keys = Array.from({ length: 2000 }, (_, i) => `index/${(i * 7919) % 2000}`);
      for (let at = 0; at < keys.length; at += 100) {
        await Promise.all(keys.slice(at, at + 100).map((key) => store.put(key, Uint8Array.of(1))));
      }
      expect(JSON.stringify(await store.list('index/')) === JSON.stringify(keys.sort())).toBe(true);
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
          values.map((value, i) =>
            codeOf((i % 2 === 0 ? store : other).compareAndSwap('refs/r', held, value)),
          ),
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
          const code = await codeOf(
            one.compareAndSwap('refs/count', current, Uint8Array.of(current[0]! + 1)),
          );
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

    test('agrees with a plain map after random calls', async (subject) => {
      const log: string[] = [];
      try {
        await runRandomCalls(subject, new Random(seed), log);
      } catch (error) {
        throw new Error(`SEED=${seed}: ${String(error)}\n${log.slice(-20).join('\n')}`, { cause: error });
      }
    });
  });
}

/** Random calls through two stores on the same contents, each answer compared with that of a plain map. */
async function runRandomCalls(subject: StoreSubject, random: Random, log: string[]): Promise<void> {
  const stores = [subject.store, await subject.reopen()];
  const model = new Map<Key, OwnedBytes>();
  const objects = ['a', 'a/b', 'a/c', 'b/c/d/e', 'packs/1', 'packs/2', 'packs/10'];
  const refs = ['refs/x', 'refs/y/z'];
  const sizes = [0, 1, 31, 4096, 65_536, 70_000, 600_000];
  const must = (holds: boolean, what: string): void => {
    if (!holds) throw new Error(what);
  };

  for (let step = 0; step < 150; step++) {
    const store = random.pick(stores);
    const key = random.pick(objects);
    const ref = random.pick(refs);
    const call = random.below(6);
    if (call === 0) {
      const bytes = random.bytes(random.pick(sizes));
      log.push(`put ${key} ${bytes.length}`);
      await store.put(key, bytes);
      model.set(key, bytes);
    } else if (call === 1) {
      log.push(`get ${key}`);
      const found = difference(await store.get(key), model.get(key));
      must(found === 'none', found);
    } else if (call === 2) {
      const bytes = model.get(key);
      const start = random.below((bytes?.length ?? 0) + 1);
      const end = start + random.below((bytes?.length ?? 0) - start + 1);
      log.push(`get ${key} ${start}-${end}`);
      const read = await store.get(key, { offsetBytes: start, lengthBytes: end - start });
      const found = difference(read, bytes?.subarray(start, end));
      must(found === 'none', found);
    } else if (call === 3) {
      const keys = [key, random.pick(objects)];
      log.push(`delete ${keys}`);
      await store.delete(keys);
      for (const one of keys) model.delete(one);
    } else if (call === 4) {
      const prefix = random.pick(['', 'a', 'a/', 'packs/', 'packs/1', 'refs/', 'b/c/']);
      log.push(`list ${prefix}`);
      const keys = [...model.keys()].filter((one) => one.startsWith(prefix)).sort();
      const listed = await store.list(prefix);
      must(listed.join() === keys.join(), `listed ${listed}, expected ${keys}`);
    } else {
      const held = model.get(ref) ?? null;
      const expected = random.chance(0.7) ? held : random.pick([null, random.bytes(32)]);
      const next = random.chance(0.2) ? null : random.bytes(32);
      const right = expected === held || (expected === null && held === null);
      log.push(`compareAndSwap ${ref} ${right ? 'right' : 'wrong'} ${next === null ? 'remove' : 'move'}`);
      const code = await codeOf(store.compareAndSwap(ref, expected, next));
      must(code === (right ? 'done' : 'store-conflict'), code);
      if (right && next !== null) model.set(ref, next);
      if (right && next === null) model.delete(ref);
    }
  }
}

/** How a call ended: `done`, or the code that it threw. Other errors are passed on. */
async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'done';
  } catch (error) {
    if (!isVitrineError(error)) throw error;
    return error.code;
  }
}

/** Says in what bytes differ, in a few words. */
function difference(actual: Uint8Array | undefined, expected: Uint8Array | undefined): string {
  if (actual === undefined || expected === undefined) {
    return actual === expected
      ? 'none'
      : `${actual === undefined ? 'absent' : 'present'}, expected otherwise`;
  }
  if (actual.length !== expected.length) return `${actual.length} bytes, expected ${expected.length}`;
  if (equalBytes(actual, expected)) return 'none';
  return `byte ${actual.findIndex((byte, i) => byte !== expected[i])} of ${actual.length} differs`;
}

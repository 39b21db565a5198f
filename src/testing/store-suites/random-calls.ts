// The store contract: any calls in any order agree with a plain map.

import type { OwnedBytes } from '../../base/bytes.ts';
import type { Key } from '../../store/store.ts';
import { Random } from '../random.ts';
import { codeOf, difference, type StoreSubject, type StoreSuite } from './subject.ts';

/** Declares the test. Its calls follow from the seed alone, not from the tests before it. */
export function randomCallsSuite({ test, random: { seed } }: StoreSuite): void {
  test('agrees with a plain map after random calls', async (subject) => {
    const log: string[] = [];
    try {
      await runRandomCalls(subject, new Random(seed), log);
    } catch (error) {
      throw new Error(`SEED=${seed}: ${String(error)}\n${log.slice(-20).join('\n')}`, { cause: error });
    }
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

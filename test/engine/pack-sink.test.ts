// Packs on their way to the store: more than one at a time, none left on its way when a save has ended.

import { describe, expect, it } from 'vitest';
import { VitrineError } from '../../src/base/error.ts';
import { MIB } from '../../src/base/limits.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import type { Store } from '../../src/store/store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGES = (18 * MIB) / 4096;

/** A store whose puts of packs do what `put` says. */
function withPuts(put: (inner: Store, key: string, bytes: Uint8Array<ArrayBuffer>) => Promise<void>): Store {
  const inner = openMemoryStore();
  return {
    traits: inner.traits,
    put: (key, bytes) => (key.startsWith('packs/') ? put(inner, key, bytes) : inner.put(key, bytes)),
    get: (key, range) => inner.get(key, range),
    list: (prefix) => inner.list(prefix),
    delete: (keys) => inner.delete(keys),
    compareAndSwap: (ref, expected, next) => inner.compareAndSwap(ref, expected, next),
    close: () => inner.close(),
  };
}

describe('packs of a save', () => {
  it('are encoded while the one before is on its way', async () => {
    let begun = 0;
    let most = 0;
    let underWay = 0;
    let release = (): void => {};
    const second = new Promise<void>((resolve) => {
      release = resolve;
    });
    const store = withPuts(async (inner, key, bytes) => {
      most = Math.max(most, ++underWay);
      // The first one is not there before the second has begun: one at a time would wait for ever.
      if (++begun === 2) release();
      await second;
      await inner.put(key, bytes);
      underWay--;
    });
    const { machine, memory } = await adoptFlat(await openTestEngine(store), 'machine', PAGES);
    memory.set(new Random(seedOfRun()).bytes(memory.length));
    await machine.save();
    expect(begun).toBeGreaterThanOrEqual(4);
    expect(most).toBeGreaterThanOrEqual(2);
    expect(most).toBeLessThanOrEqual(3);
    expect(underWay).toBe(0);
  });

  it('fail with the store, and none is on its way any more', async () => {
    let begun = 0;
    let underWay = 0;
    const store = withPuts(async (inner, key, bytes) => {
      underWay++;
      try {
        if (++begun === 2) throw new VitrineError('store-full');
        for (let turn = 0; turn < 50; turn++) await Promise.resolve();
        await inner.put(key, bytes);
      } finally {
        underWay--;
      }
    });
    const engine = await openTestEngine(store);
    const { machine, memory } = await adoptFlat(engine, 'machine', PAGES);
    memory.set(new Random(seedOfRun()).bytes(memory.length));
    expect(await codeOf(() => machine.save())).toBe('store-full');
    expect(underWay).toBe(0);
    expect(await engine.log()).toEqual([]);
    const { snapshot } = await machine.save();
    expect((await engine.verify(snapshot.id)).damaged).toEqual([]);
  });
});

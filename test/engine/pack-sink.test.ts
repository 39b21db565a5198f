// Packs on their way to the store: more than one at a time, none left on its way when a save has ended.

import { describe, expect, it } from 'vitest';
import { VitrineError } from '../../src/base/error.ts';
import { MIB } from '../../src/base/limits.ts';
import { ThreadEncoder } from '../../src/host/pages/thread-encoder.ts';
import { ThreadPool } from '../../src/host/pages/thread-pool.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import type { Store } from '../../src/store/store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGES = (18 * MIB) / 4096;

/** A store whose puts of packs do what `put` says. */
function withPuts(put: (inner: Store, key: string, bytes: Uint8Array) => Promise<void>): Store {
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

  it('stay as they are in memory of threads until the store has them', async () => {
    /** Memory that others may write to, by now. */
    const free = new Set<ArrayBufferLike>();
    let puts = 0;
    const store = withPuts(async (inner, key, bytes) => {
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
      await inner.put(key, bytes);
      puts++;
      expect(free.has(bytes.buffer)).toBe(false);
    });
    const threads = new ThreadPool(2);
    const encoder = new ThreadEncoder({ threads });
    const [takeMemory, giveBack] = [encoder.takeMemory.bind(encoder), encoder.giveBack.bind(encoder)];
    encoder.takeMemory = () => {
      const memory = takeMemory();
      free.delete(memory.buffer);
      return memory;
    };
    encoder.giveBack = (memory) => {
      free.add(memory.buffer);
      giveBack(memory);
    };
    const engine = await openTestEngine(store, undefined, encoder);
    const { machine, memory } = await adoptFlat(engine, 'machine', PAGES);
    const random = new Random(seedOfRun());
    const saved: { readonly id: string; readonly content: Uint8Array }[] = [];
    for (let round = 0; round < 3; round++) {
      memory.set(random.bytes(memory.length));
      const { snapshot } = await machine.save();
      saved.push({ id: snapshot.id, content: memory.slice() });
    }
    for (const { id, content } of saved) {
      expect((await engine.verify(id)).damaged).toEqual([]);
      const [bytes] = await engine.peek(id, [{ address: 0, lengthBytes: content.length }]);
      expectSame(bytes!, content);
    }
    // It is used again.
    expect(free.size).toBeGreaterThan(0);
    expect(free.size).toBeLessThan(puts);
    await threads.close();
  });

  it('fail with the thread that encodes one of them, and the others do not wait for it', async () => {
    const threads = new ThreadPool(2);
    const encoder = new ThreadEncoder({ threads });
    const encode = encoder.encode.bind(encoder);
    let calls = 0;
    encoder.encode = (...call) =>
      ++calls === 3 ? Promise.reject(new VitrineError('worker-lost')) : encode(...call);
    const engine = await openTestEngine(openMemoryStore(), undefined, encoder);
    const { machine, memory } = await adoptFlat(engine, 'machine', PAGES);
    memory.set(new Random(seedOfRun()).bytes(memory.length));
    expect(await codeOf(() => machine.save())).toBe('worker-lost');
    expect(await engine.log()).toEqual([]);
    const { snapshot } = await machine.save();
    expect((await engine.verify(snapshot.id)).damaged).toEqual([]);
    await threads.close();
  });
});

// What a program without types, or a store of a stranger, does to an engine: a code that says what is wrong, and no promise
// that nobody awaits, for Node ends the process over one.

import { describe, expect, it } from 'vitest';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import type { Store } from '../../src/store/store.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';

describe('an engine', () => {
  it('refuses an effort that there is not, and a name that a machine cannot have, with what it takes', async () => {
    const engine = await openTestEngine();
    const { machine } = await adoptFlat(engine, 'a', 4);
    await expect(machine.save({ effort: 'tiny' as never })).rejects.toMatchObject({
      code: 'argument-invalid',
      data: { name: 'effort', value: 'tiny', known: ['none', 'fast', 'balanced', 'small'] },
    });
    expect((await machine.save()).pagesChanged).toBe(0);
    await expect(adoptFlat(engine, 'My PC', 4)).rejects.toMatchObject({
      code: 'argument-invalid',
      data: { value: 'My PC', form: expect.stringContaining('a-z0-9') },
    });
  });

  it('fails a save over a store that throws before it has a promise, and nothing else', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => {
      unhandled.push(reason);
    };
    process.on('unhandledRejection', note);
    try {
      const inner = openMemoryStore();
      let isFull = false;
      const store: Store = {
        traits: inner.traits,
        put(key, bytes) {
          if (isFull) throw new RangeError('full');
          return inner.put(key, bytes);
        },
        get: (key, range) => inner.get(key, range),
        list: (prefix) => inner.list(prefix),
        delete: (keys) => inner.delete(keys),
        compareAndSwap: (ref, expected, next) => inner.compareAndSwap(ref, expected, next),
        close: () => inner.close(),
      };
      const engine = await openTestEngine(store);
      const { guest, machine } = await adoptFlat(engine, 'a', 64);
      guest.run(1000);
      isFull = true;
      await expect(machine.save()).rejects.toThrow('full');
      // Whoever is told of promises that nobody awaits is told when all that is due has run.
      await new Promise((resolve) => setImmediate(resolve));
      expect(unhandled).toEqual([]);
      isFull = false;
      const { snapshot } = await machine.save();
      expect((await engine.verify(snapshot.id)).damaged).toEqual([]);
    } finally {
      process.off('unhandledRejection', note);
    }
  });
});

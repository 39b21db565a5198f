// Two engines over one store, as two tabs have: each saves, restores, deletes and collects, and neither knows what the
// other does. From a seed; SEED=… runs other histories.

import { describe, expect, it } from 'vitest';
import { LocalLock } from '../../src/engine/lock.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { Random } from '../../src/testing/random.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGES = 80;
const STEPS = 80;

describe('two engines over one store', () => {
  const first = seedOfRun();
  it.each([first, first + 1, first + 2])('lose nothing of each other (seed %i)', async (seed) => {
    const random = new Random(seed);
    const contents = new Map();
    const lock = new LocalLock();
    const openTab = async (name: string) => {
      const engine = await openTestEngine(openMemoryStore({ contents }), lock);
      return { engine, ...(await adoptFlat(engine, name, PAGES)) };
    };
    // The same seed in both guests: much of what they save is the same.
    const tabs = [await openTab('left'), await openTab('right')];
    const saved = new Map<string, Uint8Array>();
    const save = async (tab: (typeof tabs)[number]): Promise<void> => {
      tab.guest.run(random.below(200));
      const memory = tab.memory.slice();
      saved.set((await tab.machine.save()).snapshot.id, memory);
    };
    for (let step = 0; step < STEPS; step++) {
      const tab = random.pick(tabs);
      const id = saved.size === 0 ? undefined : random.pick([...saved.keys()]);
      const verb = random.pick(['save', 'save', 'both', 'restore', 'peek', 'delete', 'collect'] as const);
      if (verb === 'save' || id === undefined) await save(tab);
      else if (verb === 'both') await Promise.all(tabs.map(save));
      else if (verb === 'restore') {
        await tab.machine.restore(id);
        expectSame(tab.memory, saved.get(id)!);
      } else if (verb === 'peek') {
        const [bytes] = await tab.engine.peek(id, [{ address: 0, lengthBytes: PAGES * 4096 }]);
        expectSame(bytes!, saved.get(id)!);
      } else if (verb === 'delete') {
        await tab.engine.delete([id]);
        saved.delete(id);
      } else await Promise.all([tab.engine.collect(), save(tabs[0] === tab ? tabs[1]! : tabs[0]!)]);
    }
    const fresh = await openTab('fresh');
    expect((await fresh.engine.log()).map(({ id }) => id).sort()).toEqual([...saved.keys()].sort());
    for (const [id, memory] of saved) {
      expect((await fresh.engine.verify(id)).damaged).toEqual([]);
      for (const { engine } of [...tabs, fresh]) {
        const [bytes] = await engine.peek(id, [{ address: 0, lengthBytes: memory.length }]);
        expectSame(bytes!, memory);
      }
    }
  });
});

// A history that survives its process: written to a store beside an engine's snapshots, opened again, whatever fails between.

import { describe, expect, it } from 'vitest';
import { loadCodecs } from '../../src/codec/load.ts';
import type { Machine } from '../../src/engine/machine.ts';
import { openRewind, reopenRewind } from '../../src/rewind/open-rewind.ts';
import type { Rewind } from '../../src/rewind/rewind.ts';
import { RewindStore } from '../../src/rewind/rewind-store.ts';
import type { PointId } from '../../src/rewind/timeline.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import type { Store } from '../../src/store/store.ts';
import { Random } from '../../src/testing/random.ts';
import { openTestEngine } from '../support/engine.ts';
import { seedOfRun } from '../support/seed.ts';
import { copyOf, expectSameCopy, type FlatRewind, type FullCopy, openFlatRewind } from './rewind-subject.ts';

/** A process: a guest, an engine over the store, and no history yet. */
async function begin(store: Store) {
  const engine = await openTestEngine(store);
  const subject = await openFlatRewind({ seed: 7 });
  await subject.rewind.stop();
  return {
    ...subject,
    engine,
    machine: engine.adopt('flat', subject.tracker),
    kept: new RewindStore(store, 'flat'),
  };
}

async function record(subject: Pick<FlatRewind, 'guest'>, rewind: Rewind, epochs: number) {
  const copies = new Map<PointId, FullCopy>();
  for (let epoch = 0; epoch < epochs; epoch++) {
    subject.guest.run(60);
    await rewind.epoch();
    copies.set(rewind.points().at(-1)!.id, await copyOf(subject.guest));
  }
  return copies;
}

const saver = (machine: Machine) => async () =>
  (await machine.save({ label: 'rewind', freePages: 'keep' })).snapshot.id;

async function reopen(store: Store): Promise<Awaited<ReturnType<typeof begin>> & { again: Rewind }> {
  const process = await begin(store);
  const again = await reopenRewind(process.tracker, { codecs: await loadCodecs() }, process.kept, (id) =>
    process.machine.restore(id),
  );
  return { ...process, again: again! };
}

async function expectAll(rewind: Rewind, guest: FlatRewind['guest'], copies: ReadonlyMap<PointId, FullCopy>) {
  for (const [id, copy] of copies) {
    await rewind.seek(id);
    expectSameCopy(await copyOf(guest), copy);
  }
}

/** A store whose calls fail from the so many-th on, as those of a process that dies. */
function dying(store: Store, calls: number): Store {
  let left = calls;
  const step = <T>(work: () => Promise<T>): Promise<T> =>
    left-- > 0 ? work() : Promise.reject(new Error('the process has died'));
  return {
    traits: store.traits,
    put: (key, bytes) => step(() => store.put(key, bytes)),
    get: (key, range) => store.get(key, range),
    list: (prefix) => store.list(prefix),
    delete: (keys) => step(() => store.delete(keys)),
    compareAndSwap: (ref, expected, next) => step(() => store.compareAndSwap(ref, expected, next)),
    close: () => store.close(),
  };
}

describe('a stored history', () => {
  it('is what it was in a new process: points, bookmarks, branches, and on from there', async () => {
    const store = openMemoryStore();
    const first = await begin(store);
    const rewind = await openRewind(first.tracker, { codecs: await loadCodecs() });
    const copies = await record(first, rewind, 12);
    const [, second] = [...copies.keys()];
    await rewind.bookmark(second!, 'dear');
    await rewind.seek(second!);
    await rewind.resume();
    for (const [id, copy] of await record(first, rewind, 5)) copies.set(id, copy);
    first.guest.run(30);
    const report = await rewind.flush(first.kept, saver(first.machine));
    expect(report.anchorBefore).toBeNull();
    const points = rewind.points({ branches: true });
    const present = await copyOf(first.guest);

    const { again, guest } = await reopen(store);
    expect(again.points({ branches: true })).toEqual(points);
    expectSameCopy(await copyOf(guest), present);
    await expectAll(again, guest, copies);
    await again.resume();
    const later = await record({ guest }, again, 5);
    await expectAll(again, guest, later);
  });

  it('is written once: a second flush has what is new, and leaves no rubbish', async () => {
    const store = openMemoryStore();
    const first = await begin(store);
    const rewind = await openRewind(first.tracker, { codecs: await loadCodecs() });
    await record(first, rewind, 40);
    const whole = await rewind.flush(first.kept, saver(first.machine));
    await record(first, rewind, 2);
    const part = await rewind.flush(first.kept, saver(first.machine));
    expect(part.bytesWritten).toBeLessThan(whole.bytesWritten / 2);
    expect(part.anchorBefore).toMatch(/^[0-9a-f]{64}$/);
    // The old anchor is not needed any more.
    await first.engine.delete([part.anchorBefore!]);
    await first.engine.collect();
    const keys = await store.list('rewind/flat/');
    expect(keys).toHaveLength(3);
    const { again } = await reopen(store);
    expect(again.points()).toHaveLength(rewind.points().length);
    await first.kept.remove();
    expect(await store.list('rewind/')).toEqual([]);
    expect(await first.kept.anchor()).toBeNull();
  });

  it('outlives collect and verify of the engine, and they it', async () => {
    const store = openMemoryStore();
    const first = await begin(store);
    const rewind = await openRewind(first.tracker, { codecs: await loadCodecs() });
    const copies = await record(first, rewind, 6);
    await rewind.flush(first.kept, saver(first.machine));
    const log = await first.engine.log();
    await first.engine.collect();
    for (const { id } of log) expect((await first.engine.verify(id)).damaged).toEqual([]);
    const { again, guest } = await reopen(store);
    await expectAll(again, guest, copies);
  });

  it('is the last one flushed, wherever the process dies', async () => {
    for (let calls = 0; calls < 8; calls++) {
      const store = openMemoryStore();
      const first = await begin(store);
      const rewind = await openRewind(first.tracker, { codecs: await loadCodecs() });
      const copies = await record(first, rewind, 5);
      await rewind.flush(first.kept, saver(first.machine));
      const flushed = rewind.points().length;
      await record(first, rewind, 5);
      const broken = new RewindStore(dying(store, calls), 'flat');
      const outcome = await rewind.flush(broken, saver(first.machine)).then(
        () => 'whole',
        () => 'cut off',
      );
      const { again, guest, machine, kept } = await reopen(store);
      const found = again.points().length;
      if (outcome === 'whole') expect(found).toBe(rewind.points().length);
      else expect([flushed, rewind.points().length]).toContain(found);
      await expectAll(again, guest, copies);
      // The next flush clears what the cut left.
      await again.flush(kept, saver(machine));
      expect((await store.list('rewind/flat/')).length).toBeLessThanOrEqual(4);
      const ids = (one: Rewind) => one.points({ branches: true }).map(({ id }) => id);
      const after = await reopen(store);
      expect(ids(after.again)).toEqual(ids(again));
    }
  });

  it('is refused when it is damaged, or of another machine, and the guest is unharmed', async () => {
    const random = new Random(seedOfRun());
    const store = openMemoryStore();
    const first = await begin(store);
    const rewind = await openRewind(first.tracker, { codecs: await loadCodecs() });
    await record(first, rewind, 6);
    await rewind.flush(first.kept, saver(first.machine));
    for (const key of await store.list('rewind/flat/')) {
      const whole = (await store.get(key))!;
      for (let flip = 0; flip < 20; flip++) {
        const bytes = whole.slice();
        const at = random.below(bytes.length);
        bytes[at]! ^= 1 << random.below(8);
        await store.delete([key]);
        await store.put(key, bytes);
        await expect(reopen(store)).rejects.toMatchObject({ code: expect.stringMatching(/^format-/) });
      }
      await store.delete([key]);
      await expect(reopen(store)).rejects.toMatchObject({ code: 'object-missing' });
      await store.put(key, whole);
    }
    const other = await openFlatRewind({ pages: 8 });
    await other.rewind.stop();
    const opening = reopenRewind(other.tracker, { codecs: await loadCodecs() }, first.kept, async () => {});
    await expect(opening).rejects.toMatchObject({ code: 'guest-mismatch' });
    other.guest.run(1);
    const none = new RewindStore(store, 'nobody');
    expect(
      await reopenRewind(other.tracker, { codecs: await loadCodecs() }, none, async () => {}),
    ).toBeNull();
  });

  it('is that of the last flush when two processes keep one name', async () => {
    const store = openMemoryStore();
    const [one, two] = [await begin(store), await begin(store)];
    const codecs = await loadCodecs();
    const first = await openRewind(one.tracker, { codecs });
    const second = await openRewind(two.tracker, { codecs });
    await record(one, first, 4);
    await record(two, second, 7);
    await first.flush(one.kept, saver(one.machine));
    await second.flush(two.kept, saver(two.machine));
    const copies = await record(one, first, 2);
    await first.flush(one.kept, saver(one.machine));
    const { again, guest } = await reopen(store);
    expect(again.points()).toHaveLength(first.points().length);
    await expectAll(again, guest, copies);
  });

  it.each(['anchor', 'open'] as const)(
    'is the newer one when another process replaces it while it is read: %s',
    async (call) => {
      const store = openMemoryStore();
      const codecs = await loadCodecs();
      const [one, two] = [await begin(store), await begin(store)];
      const write = async (process: typeof one, rewind: Rewind, epochs: number) => {
        await record(process, rewind, epochs);
        await rewind.flush(process.kept, saver(process.machine));
      };
      const [first, second] = [
        await openRewind(one.tracker, { codecs }),
        await openRewind(two.tracker, { codecs }),
      ];
      await write(one, first, 2);
      let replaces = 0;
      const get: Store['get'] = async (key, range) => {
        const isObject = key.startsWith('rewind/');
        // Of the second history that is read the index is there, and what it names is not.
        if (isObject && (replaces === 0 || (replaces === 1 && !key.includes('-index-')))) {
          replaces++;
          await (replaces === 1 ? write(two, second, 3) : write(one, first, 2));
        }
        return store.get(key, range);
      };
      const reader = new RewindStore({ ...dying(store, Infinity), get }, 'flat');
      const { regions } = await one.tracker.describe();
      const anchor = call === 'anchor' ? await reader.anchor() : (await reader.open(regions))?.index.anchor;
      expect(anchor).toBe(await one.kept.anchor());
      expect(replaces).toBe(call === 'anchor' ? 1 : 2);
    },
  );

  it('is told from a snapshot that holds free pages too, and from no other', async () => {
    const store = openMemoryStore();
    const first = await begin(store);
    const rewind = await openRewind(first.tracker, { codecs: await loadCodecs() });
    const copies = await record(first, rewind, 4);
    // Warm: the guest is asked before the capture, not after.
    await first.machine.save();
    first.guest.run(500);
    first.guest.setFree({ region: 0, offsetBytes: 0, lengthBytes: 16 * 4096 }, true);
    const partly = rewind.flush(first.kept, async () => (await first.machine.save()).snapshot.id);
    await expect(partly).rejects.toMatchObject({ code: 'argument-invalid' });
    await rewind.flush(first.kept, saver(first.machine));
    const { again, guest } = await reopen(store);
    await expectAll(again, guest, copies);
  });

  it('is refused when another save came between', async () => {
    const store = openMemoryStore();
    const first = await begin(store);
    const rewind = await openRewind(first.tracker, { codecs: await loadCodecs() });
    await record(first, rewind, 2);
    const twice = rewind.flush(first.kept, async () => {
      await first.machine.save();
      first.guest.run(5);
      return saver(first.machine)();
    });
    await expect(twice).rejects.toMatchObject({ code: 'busy' });
    expect(await first.kept.anchor()).toBeNull();
  });
});

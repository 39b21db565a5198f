// Saves whose pages go through threads: what is stored is what a save without them stores, page by page, and work whose thread
// ends fails the save and nothing else. Random histories go through them in `model.test.ts`.

import { afterAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { ThreadEncoder } from '../../src/host/pages/thread-encoder.ts';
import { ThreadPool } from '../../src/host/pages/thread-pool.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGE = 4096;
const PAGES = 2700;

const threads = new ThreadPool(2);
afterAll(() => threads.close());

/** Of everything: zeros, repeats, copies, text, noise. */
function content(): Uint8Array<ArrayBuffer> {
  const random = new Random(seedOfRun());
  const memory = new Uint8Array(PAGES * PAGE);
  for (let page = 0; page < PAGES; page++) {
    const at = memory.subarray(page * PAGE, (page + 1) * PAGE);
    const kind = random.below(6);
    if (kind === 1) at.fill(random.below(256));
    else if (kind === 2 && page > 0) {
      const other = random.below(page);
      at.set(memory.subarray(other * PAGE, (other + 1) * PAGE));
    } else if (kind === 3) at.set(random.bytes(100), random.below(3000));
    else if (kind >= 4) at.set(random.bytes(PAGE));
  }
  return memory;
}

describe('saves through threads', () => {
  it('hold the same pages, of the same tables, in as many bytes or hardly more', async () => {
    const memory = content();
    const reports = [];
    for (const encoder of [undefined, new ThreadEncoder({ threads })]) {
      const engine = await openTestEngine(openMemoryStore(), undefined, encoder);
      const subject = await adoptFlat(engine, 'machine', PAGES);
      subject.memory.set(memory);
      const report = await subject.machine.save();
      const { manifest } = await engine.show(report.snapshot.id);
      const [bytes] = await engine.peek(report.snapshot.id, [{ address: 0, lengthBytes: memory.length }]);
      expectSame(bytes!, memory);
      expect((await engine.verify(report.snapshot.id)).damaged).toEqual([]);
      reports.push({
        ...report,
        roots: manifest.regions.map(({ root }) => Buffer.from(root).toString('hex')),
      });
    }
    const [alone, threaded] = reports;
    expect(threaded!.roots).toEqual(alone!.roots);
    expect(threaded!.objectsNew).toBe(alone!.objectsNew);
    expect(threaded!.pagesChanged).toBe(alone!.pagesChanged);
    expect(Math.abs(threaded!.bytesWritten - alone!.bytesWritten)).toBeLessThan(0.02 * alone!.bytesWritten);
  });

  it('leave deltas to the engine, and save what comes before and after them', async () => {
    const engine = await openTestEngine(
      openMemoryStore(),
      undefined,
      new ThreadEncoder({ threads, fewestPages: 1 }),
    );
    const { machine, memory } = await adoptFlat(engine, 'machine', PAGES);
    memory.set(content());
    await machine.save();
    for (let page = 0; page < PAGES; page += 3) memory[page * PAGE + 7]! ^= 1;
    const { snapshot, bytesWritten } = await machine.save();
    expect(bytesWritten).toBeLessThan(MIB);
    const [bytes] = await engine.peek(snapshot.id, [{ address: 0, lengthBytes: memory.length }]);
    expectSame(bytes!, memory);
  });

  it('are read back through threads, damage and all', async () => {
    const store = openMemoryStore();
    const encoder = new ThreadEncoder({ threads });
    const engine = await openTestEngine(store, undefined, encoder);
    const { machine, memory } = await adoptFlat(engine, 'machine', PAGES);
    const saved = content();
    memory.set(saved);
    const { snapshot } = await machine.save();
    memory.fill(3);
    // An engine that has read nothing yet.
    const other = await openTestEngine(store, undefined, encoder);
    const fresh = await adoptFlat(other, 'other', PAGES);
    await fresh.machine.restore(snapshot.id);
    expectSame(fresh.memory, saved);
    const [key] = await store.list('packs/');
    const pack = (await store.get(key!))!;
    pack[pack.length >> 1]! ^= 1;
    await store.put(key!, pack);
    const third = await openTestEngine(store, undefined, encoder);
    const last = await adoptFlat(third, 'third', PAGES);
    expect(await codeOf(() => last.machine.restore(snapshot.id))).toBe('object-damaged');
    expect(last.memory.every((byte) => byte === 0)).toBe(true);
  });

  it('are read without threads that ended', async () => {
    const store = openMemoryStore();
    const mortal = new ThreadPool(1);
    const engine = await openTestEngine(store, undefined, new ThreadEncoder({ threads: mortal }));
    const { machine, memory } = await adoptFlat(engine, 'machine', PAGES);
    const saved = content();
    memory.set(saved);
    const { snapshot } = await machine.save();
    await mortal.close();
    memory.fill(3);
    await machine.restore(snapshot.id);
    expectSame(memory, saved);
  });

  it('fail when their threads end, and are saved by the next try', async () => {
    const mortal = new ThreadPool(2);
    const encoder = new ThreadEncoder({ threads: mortal });
    const engine = await openTestEngine(openMemoryStore(), undefined, encoder);
    const { machine, memory } = await adoptFlat(engine, 'machine', PAGES);
    memory.set(content());
    const lost = machine.save({
      onProgress: ({ phase, done }) => {
        if (phase === 'encode' && done > 500) void mortal.close();
      },
    });
    expect(await codeOf(() => lost)).toBe('worker-lost');
    expect(await engine.log()).toEqual([]);
    // Another effort needs no threads.
    const { snapshot } = await machine.save({ effort: 'balanced' });
    const [bytes] = await engine.peek(snapshot.id, [{ address: 0, lengthBytes: memory.length }]);
    expectSame(bytes!, memory);
  });
});

// Saves whose pages go through threads: what is stored is what a save without them stores, page by page, and work whose thread
// ends fails the save and nothing else. Random histories go through them in `model.test.ts`.

import { afterAll, describe, expect, it } from 'vitest';
import { concatBytes } from '../../src/base/bytes.ts';
import { MIB } from '../../src/base/limits.ts';
import type { Machine } from '../../src/engine/machine.ts';
import type { Vitrine } from '../../src/engine/vitrine.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import { ThreadEncoder } from '../../src/host/pages/thread-encoder.ts';
import { ThreadPool } from '../../src/host/pages/thread-pool.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
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

/** A machine whose tracker has no room for what some of the pages held before. */
async function adoptForgetful(engine: Vitrine): Promise<{ machine: Machine; memory: Uint8Array }> {
  const memory = new Uint8Array(PAGES * PAGE);
  const guest = new FlatGuest({ regions: [{ name: 'ram', bytes: memory, guestAddress: 0 }] });
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  const readPages = tracker.readPages.bind(tracker);
  tracker.readPages = async (region, pages) => {
    const read = await readPages(region, pages);
    const known = [...read.previousOf.keys()].filter((old) => (read.previousOf[old]! + pages[0]!) % 3 > 0);
    const previous = known.map((old) => read.previous.subarray(old * PAGE, (old + 1) * PAGE));
    return {
      ...read,
      previous: concatBytes(previous),
      previousOf: Uint32Array.from(known, (old) => read.previousOf[old]!),
    };
  };
  return { machine: engine.adopt('machine', tracker), memory };
}

/** Changes a page a little, to noise, to zeros, to a repeat, or to what another page holds. */
function change(memory: Uint8Array, page: number, random: Random): void {
  const at = memory.subarray(page * PAGE, (page + 1) * PAGE);
  const kind = random.below(8);
  if (kind === 0) at.fill(0);
  else if (kind === 1) at.fill(random.below(256));
  else if (kind === 2) at.set(random.bytes(PAGE));
  else if (kind === 3) at.copyWithin(0, 1024);
  else if (kind === 4) {
    const other = random.below(PAGES);
    at.set(memory.subarray(other * PAGE, (other + 1) * PAGE));
  } else at.set(random.bytes(200), random.below(3000));
}

describe('saves through threads', () => {
  it.each(['none', 'fast'] as const)(
    'hold the same pages, of the same tables, in as many bytes or hardly more: %s',
    async (effort) => {
      const memory = content();
      const reports = [];
      for (const encoder of [undefined, new ThreadEncoder({ threads })]) {
        const engine = await openTestEngine(openMemoryStore(), undefined, encoder);
        const subject = await adoptFlat(engine, 'machine', PAGES);
        subject.memory.set(memory);
        const report = await subject.machine.save({ effort });
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
      expect(threaded!.bytesWritten).toBeLessThan(1.02 * alone!.bytesWritten);
    },
  );

  it('write pages as they are where no effort is made, and never as deltas', async () => {
    for (const encoder of [undefined, new ThreadEncoder({ threads, fewestPages: 1 })]) {
      const engine = await openTestEngine(openMemoryStore(), undefined, encoder);
      const { machine, memory } = await adoptFlat(engine, 'machine', PAGES);
      // Nothing of it is alike, and all of it could be compressed to half.
      const random = new Random(seedOfRun());
      for (let at = 0; at < memory.length; at += PAGE) memory.set(random.bytes(PAGE / 2), at);
      const first = await machine.save({ effort: 'none' });
      expect(first.bytesWritten).toBeGreaterThan(memory.length);
      for (let page = 0; page < PAGES; page += 9) memory[page * PAGE] = memory[page * PAGE]! ^ 1;
      const second = await machine.save({ effort: 'none' });
      expect(second.bytesWritten).toBeGreaterThan(second.pagesChanged * PAGE);
      const third = { id: second.snapshot.id, range: [{ address: 0, lengthBytes: memory.length }] };
      const [bytes] = await engine.peek(third.id, third.range);
      expectSame(bytes!, memory);
      for (let page = 0; page < PAGES; page += 9) memory[page * PAGE] = memory[page * PAGE]! ^ 1;
      memory[7] = memory[7]! ^ 1;
      const last = await machine.save();
      // With an effort again, what is new is little.
      expect(last.bytesWritten).toBeLessThan(PAGE * 16);
      const wanted = memory.slice();
      await machine.restore(first.snapshot.id);
      await machine.restore(last.snapshot.id);
      expectSame(memory, wanted);
    }
  });

  it('keep pages as deltas of what they held where that is less, as saves without threads do', async () => {
    const runs = [undefined, new ThreadEncoder({ threads, fewestPages: 1 })].map(async (encoder) => {
      const random = new Random(seedOfRun());
      const engine = await openTestEngine(openMemoryStore(), undefined, encoder);
      const { machine, memory } = await adoptForgetful(engine);
      memory.set(content());
      await machine.save();
      const saves = [];
      for (let round = 0; round < 3; round++) {
        for (let page = round % 2; page < PAGES; page += 5) change(memory, page, random);
        const { snapshot, ...report } = await machine.save();
        const { manifest } = await engine.show(snapshot.id);
        const [bytes] = await engine.peek(snapshot.id, [{ address: 0, lengthBytes: memory.length }]);
        expectSame(bytes!, memory);
        saves.push({
          ...report,
          roots: manifest.regions.map(({ root }) => Buffer.from(root).toString('hex')),
        });
      }
      return saves;
    });
    const [alone, threaded] = await Promise.all(runs);
    for (const [round, one] of alone!.entries()) {
      const other = threaded![round]!;
      expect(other.roots).toEqual(one.roots);
      expect(other.objectsNew).toBe(one.objectsNew);
      expect(other.pagesChanged).toBe(one.pagesChanged);
      expect(other.bytesWritten).toBeLessThan(1.03 * one.bytesWritten);
    }
  });

  it('take little room where little of a page changed', async () => {
    const encoder = new ThreadEncoder({ threads, fewestPages: 1 });
    const engine = await openTestEngine(openMemoryStore(), undefined, encoder);
    const { machine, memory } = await adoptFlat(engine, 'machine', PAGES);
    memory.set(content());
    await machine.save();
    for (let page = 0; page < PAGES; page += 3) memory[page * PAGE + 7]! ^= 1;
    const { bytesWritten } = await machine.save();
    expect(bytesWritten).toBeLessThan(MIB);
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

  it('are read back as what they are named after, or not at all', async () => {
    const memory = content();
    const store = openMemoryStore();
    const encoder = new ThreadEncoder({ threads });
    const engine = await openTestEngine(store, undefined, encoder);
    const subject = await adoptFlat(engine, 'machine', PAGES);
    subject.memory.set(memory);
    const { snapshot } = await subject.machine.save();
    let digested = 0;
    // Frames whose checksums are right, and whose content is another one's: as a medium, or a writer, could have mixed them up.
    const mixing = new ThreadEncoder({ threads });
    mixing.decode = async (bytes, frames) => {
      const decoded = [...(await encoder.decode(bytes, frames))];
      digested += decoded.filter(({ digests }) => digests !== undefined).length;
      return [decoded[1]!, decoded[0]!, ...decoded.slice(2)];
    };
    // Read at once: of a frame that is read a second time nobody has digests.
    const range = [{ address: 0, lengthBytes: 2 * MIB }];
    const fresh = await openTestEngine(store, undefined, mixing);
    await expect(fresh.peek(snapshot.id, range)).rejects.toMatchObject({
      code: 'object-damaged',
      data: { reason: 'digest differs' },
    });
    expect(digested).toBeGreaterThan(0);
    const [bytes] = await (await openTestEngine(store, undefined, encoder)).peek(snapshot.id, range);
    expectSame(bytes!, memory.subarray(0, 2 * MIB));
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

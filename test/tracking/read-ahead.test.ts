// What is stored before an instant is read by threads where the guest's memory is a file, while the guest goes on writing: each
// snapshot holds its instant all the same.

import { afterAll, describe, expect, it } from 'vitest';
import { ThreadEncoder } from '../../src/host/pages/thread-encoder.ts';
import { ThreadPool } from '../../src/host/pages/thread-pool.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import { openTestEngine } from '../support/engine.ts';
import { adoptFiled } from '../support/filed-guest.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGE = 4096;
/** Several batches. */
const PAGES = 700;

const threads = new ThreadPool(2);
afterAll(() => threads.close());

async function open() {
  const encoder = new ThreadEncoder({ threads, fewestPages: 1 });
  const engine = await openTestEngine(openMemoryStore(), undefined, encoder);
  const filed = await adoptFiled(engine, 'filed', PAGES, { keptPages: 20, fewPages: 0 });
  const { guest, tracker, memory } = filed;
  // Devices are saved at rest: memory is then what the snapshot has to hold.
  const saveDevices = guest.saveDevices.bind(guest);
  const seen = { atRest: memory.slice(), torn: 0 };
  guest.saveDevices = () => {
    seen.atRest = memory.slice();
    return saveDevices();
  };
  const readTorn = guest.readTorn.bind(guest);
  guest.readTorn = (span, into) => {
    seen.torn++;
    readTorn(span, into);
  };
  const memoryOf = async (id: string): Promise<Uint8Array> =>
    (await engine.peek(id, [{ address: 0, lengthBytes: memory.length }]))[0]!;
  /** Lets `work` happen before each instant, when it is told what to store before it. */
  const whenTold = (work: () => void): void => {
    const captureAhead = tracker.captureAhead.bind(tracker);
    tracker.captureAhead = async (options) => {
      const told = await captureAhead(options);
      work();
      // The file is written when it runs.
      guest.run(0);
      return told;
    };
  };
  return { ...filed, engine, seen, memoryOf, whenTold };
}

describe('pages stored ahead by threads', () => {
  it('are those of a guest that goes on writing, and the snapshot is one instant of it', async () => {
    const { machine, memory, seen, memoryOf, whenTold, engine, remove } = await open();
    const random = new Random(seedOfRun());
    whenTold(() => {
      for (let write = 0; write < 80; write++) {
        const at = random.below(PAGES) * PAGE;
        if (random.below(3) === 0) memory.fill(0, at, at + PAGE);
        else memory.set(random.bytes(300), at + random.below(3000));
      }
    });
    memory.set(random.bytes(500 * PAGE), 100 * PAGE);
    for (const full of [true, false, true, false]) {
      const before = memory.slice();
      const { snapshot } = await machine.save({ full });
      expect(Buffer.compare(seen.atRest, before)).not.toBe(0);
      expectSame(await memoryOf(snapshot.id), seen.atRest);
      expect((await engine.verify(snapshot.id)).damaged).toEqual([]);
    }
    // Threads read them, all of them.
    expect(seen.torn).toBe(0);
    await machine.close();
    await remove();
  });

  it('are all there in a full save, also one that was zeros for a moment and is now what it was', async () => {
    const { machine, guest, tracker, memory, memoryOf, remove } = await open();
    memory.fill(7, 0, 600 * PAGE);
    guest.run(0);
    await machine.save();
    const captureAhead = tracker.captureAhead.bind(tracker);
    tracker.captureAhead = async (options) => {
      const was = memory.slice();
      memory.fill(0, 40 * PAGE, 50 * PAGE);
      guest.run(0);
      const told = await captureAhead(options);
      memory.set(was.subarray(40 * PAGE, 50 * PAGE), 40 * PAGE);
      guest.run(0);
      return told;
    };
    const { snapshot } = await machine.save({ full: true });
    expectSame(await memoryOf(snapshot.id), memory);
    expect([memory[40 * PAGE], memory[50 * PAGE - 1]]).toEqual([7, 7]);
    await machine.close();
    await remove();
  });

  it('fail where the file became shorter, and the next save has all', async () => {
    const { machine, guest, tracker, memory, memoryOf, engine, remove } = await open();
    memory.fill(9, 0, 600 * PAGE);
    guest.run(0);
    const fileAhead = tracker.fileAhead.bind(tracker);
    tracker.fileAhead = (region) => {
      const file = fileAhead(region);
      return file && { ...file, atBytes: file.atBytes + PAGES * PAGE };
    };
    expect(await codeOf(() => machine.save())).toBe('guest-failed');
    expect(await engine.log()).toEqual([]);
    expect(guest.rests).toBe(0);
    tracker.fileAhead = fileAhead;
    const { snapshot } = await machine.save();
    expectSame(await memoryOf(snapshot.id), memory);
    await machine.close();
    await remove();
  });
});

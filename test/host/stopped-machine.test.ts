// The first save of a machine whose user stopped it: its RAM is read once, since it is the same before and in the pause.

import { afterEach, expect, it } from 'vitest';
import { VitrineError } from '../../src/base/error.ts';
import type { Machine } from '../../src/engine/machine.ts';
import type { Vitrine } from '../../src/engine/vitrine.ts';
import { MirrorThreads } from '../../src/host/pages/mirror-threads.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import type { MirrorScanner } from '../../src/tracking/mirror-scanner.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { openTestEngine } from '../support/engine.ts';
import { FiledGuest, openFiled } from '../support/filed-guest.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGE = 4096;
const PAGES = 300;

class StoppableGuest extends FiledGuest {
  runs = false;

  async isRunning(): Promise<boolean> {
    return this.runs;
  }
}

let remove: () => Promise<void>;
afterEach(() => remove());

/** A machine, and how often its RAM was read. */
async function adoptStoppable(engine: Vitrine) {
  const opened = await openFiled(StoppableGuest, PAGES, {});
  const { guest, path } = opened;
  remove = opened.remove;
  const looks = { take: 0, compare: 0, isFailing: false };
  const openScanner = (mirror: ConstructorParameters<typeof MirrorThreads>[1]): MirrorScanner => {
    const threads = new MirrorThreads(path, mirror);
    return {
      prepare: () => threads.prepare(),
      close: () => threads.close(),
      compare: (differing) => {
        looks.compare++;
        expect(guest.rests).toBeGreaterThan(0);
        return threads.compare(differing);
      },
      take: async (taken) => {
        looks.take++;
        // One that nobody stopped runs on meanwhile.
        expect(guest.rests > 0).toBe(!guest.runs);
        await threads.take(taken);
        if (looks.isFailing) throw new VitrineError('worker-lost');
      },
    };
  };
  const tracker = await openScanTracker(guest, {
    openKernels: () => loadKernels({ shared: true }),
    openScanner,
  });
  const machine: Machine = engine.adopt('machine', tracker);
  return { guest, machine, memory: opened.memory, looks };
}

function write(memory: Uint8Array, random: Random): void {
  for (let count = 40; count > 0; count--) {
    memory.set(random.bytes(PAGE), random.below(PAGES) * PAGE);
  }
}

it('reads it once, and knows afterwards what changed since', async () => {
  const random = new Random(seedOfRun());
  const engine = await openTestEngine();
  const { guest, machine, memory, looks } = await adoptStoppable(engine);
  write(memory, random);
  const first = await machine.save();
  expect(looks).toMatchObject({ take: 1, compare: 0 });
  expect(first.pagesScanned).toBe(PAGES);
  expect(guest.rests).toBe(0);
  const [bytes] = await engine.peek(first.snapshot.id, [{ address: 0, lengthBytes: memory.length }]);
  expectSame(bytes!, memory);
  guest.runs = true;
  memory[17 * PAGE + 5]! ^= 1;
  memory[299 * PAGE]! ^= 1;
  const second = await machine.save();
  expect(looks).toMatchObject({ take: 1, compare: 1 });
  expect(second.pagesChanged).toBe(2);
  memory.fill(1);
  await machine.restore(first.snapshot.id);
  expectSame(memory, bytes!);
});

it('reads one that runs twice', async () => {
  const engine = await openTestEngine();
  const { guest, machine, memory, looks } = await adoptStoppable(engine);
  guest.runs = true;
  write(memory, new Random(seedOfRun()));
  const { pagesScanned, snapshot } = await machine.save();
  expect(looks).toMatchObject({ take: 1, compare: 1 });
  expect(pagesScanned).toBe(PAGES);
  const [bytes] = await engine.peek(snapshot.id, [{ address: 0, lengthBytes: memory.length }]);
  expectSame(bytes!, memory);
});

it('is let go where that fails, and saved whole by the next try', async () => {
  const engine = await openTestEngine();
  const { guest, machine, memory, looks } = await adoptStoppable(engine);
  write(memory, new Random(seedOfRun()));
  looks.isFailing = true;
  expect(await codeOf(() => machine.save())).toBe('worker-lost');
  expect(guest.rests).toBe(0);
  looks.isFailing = false;
  memory[3 * PAGE]! ^= 1;
  const { snapshot } = await machine.save();
  const [bytes] = await engine.peek(snapshot.id, [{ address: 0, lengthBytes: memory.length }]);
  expectSame(bytes!, memory);
});

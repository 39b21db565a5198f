// A mirror that begins as what its guest was made of: nothing is read but pages that the guest wrote, and all that is saved, put back
// and restored is as with a mirror that was copied.

import { expect, it } from 'vitest';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { PageTold, StreamedInstant } from '../../src/guest/guest.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import type { PageSet } from '../../src/memory/page-set.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { Random } from '../../src/testing/random.ts';
import { Mirror } from '../../src/tracking/mirror.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { openTestEngine } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGE = 4096;
/** Two regions, the second of which ends inside a page. */
const VERBS = ['save', 'save', 'live', 'full', 'checkpoint', 'reset', 'restore', 'abandon'] as const;
const SIZES = [300 * PAGE, 70 * PAGE + 100] as const;

/** One that sends what it wrote and what it is asked for, as a clone does whose process sends its memory. */
class StreamingClone extends FlatGuest {
  told = 0;

  async streamInstant(
    told: PageTold,
    _: AbortSignal | undefined,
    suspects: readonly (PageSet | null)[],
  ): Promise<StreamedInstant> {
    await this.pause();
    try {
      const take = this.takeDirty();
      for (const { id, sizeBytes } of this.regions) {
        for (let page = 0; page * PAGE < sizeBytes; page++) {
          const sets = [take.pages[id]!, suspects[id]!];
          if (!sets.some((set) => set === null || set.has(page))) continue;
          const bytes = new Uint8Array(Math.min(PAGE, sizeBytes - page * PAGE));
          this.readPages({ region: id, offsetBytes: page * PAGE, lengthBytes: bytes.length }, bytes);
          this.told++;
          void told(id, page, bytes);
        }
      }
      take.putBack();
      return { devices: this.saveDevices(), pauseMs: 1 };
    } finally {
      await this.resume();
    }
  }
}

function guestOf(parts: readonly Uint8Array[]): StreamingClone {
  const regions = parts.map((bytes, index) => ({
    name: `ram-${index}`,
    bytes,
    guestAddress: index * SIZES[0],
  }));
  return new StreamingClone({ regions, tracking: 'marks' });
}

it('a mirror of an origin is exact, and reads of it what was written alone', async () => {
  const random = new Random(seedOfRun());
  const engine = await openTestEngine(openMemoryStore());
  const made = SIZES.map((size) => new Uint8Array(size));
  const first = guestOf(made);
  first.run(2000);
  // Some chunks hold nothing at all.
  made[0]!.fill(0, 64 * PAGE, 200 * PAGE);
  const openKernels = () => loadKernels();
  const machine = engine.adopt('first', await openScanTracker(first, { openKernels }));
  const { snapshot } = await machine.save();

  const origin = made.map((bytes) => bytes.slice());
  let readPages = 0;
  const read = (region: number, offsetBytes: number, into: Uint8Array): void => {
    readPages += Math.ceil(into.length / PAGE);
    into.set(origin[region]!.subarray(offsetBytes, offsetBytes + into.length));
  };
  const memory = origin.map((bytes) => bytes.slice());
  const guest = guestOf(memory);
  await first.pause();
  await guest.pause();
  guest.loadDevices(first.saveDevices());
  // What it was made of is not what it wrote.
  guest.takeDirty().commit();
  await guest.resume();
  const clone = engine.adopt(
    'clone',
    await openScanTracker(guest, { openKernels, origin: { read, close: () => {} } }),
  );
  await clone.standOn(snapshot.id);
  expect(readPages).toBe(0);

  const saved = new Map<string, Uint8Array>([[snapshot.id, Buffer.concat(origin)]]);
  let point: Uint8Array | undefined;
  for (let step = 0; step < 60; step++) {
    guest.run(random.below(20));
    const verb = random.pick(VERBS);
    const before = readPages;
    if (verb === 'save' || verb === 'full') {
      const report = await clone.save({ full: verb === 'full' });
      saved.set(report.snapshot.id, Buffer.concat(memory));
      if (verb === 'save') expect(readPages - before).toBeLessThanOrEqual(report.pagesScanned);
    } else if (verb === 'live') {
      const toldBefore = guest.told;
      const report = await clone.save({ live: {} });
      expect(report.live).toMatchObject({ mode: 'stream' });
      saved.set(report.snapshot.id, Buffer.concat(memory));
      expect(readPages - before).toBeLessThanOrEqual(guest.told - toldBefore);
    } else if (verb === 'abandon') {
      // What was staged for it is not what the guest holds.
      const signal = new AbortController();
      const onProgress = () => signal.abort();
      await clone
        .restore(random.pick([...saved.keys()]), { signal: signal.signal, onProgress })
        .catch(() => {});
    } else if (verb === 'checkpoint') {
      await clone.checkpoint();
      point = Buffer.concat(memory);
    } else if (verb === 'reset' && point !== undefined) {
      await clone.reset();
      expectSame(Buffer.concat(memory), point);
    } else if (verb === 'restore') {
      const id = random.pick([...saved.keys()]);
      await clone.restore(id);
      expectSame(Buffer.concat(memory), saved.get(id)!);
    }
  }
  for (const [id, bytes] of saved) {
    const parts = await engine.peek(
      id,
      SIZES.map((lengthBytes, index) => ({ address: index * SIZES[0], lengthBytes })),
    );
    expectSame(Buffer.concat(parts), bytes);
  }
  await machine.close();
  await clone.close();
});

it('no thread is told where a mirror of an origin has its pages, since some are not there', async () => {
  const { regions } = guestOf(SIZES.map((size) => new Uint8Array(size)));
  const openKernels = () => loadKernels({ shared: true });
  const pages = Uint32Array.of(3, 7);
  const copied = await Mirror.open(regions, openKernels);
  copied.write(0, 7, new Uint8Array(PAGE).fill(1));
  const { buffer, atBytes } = copied.sharedPages(0, pages)!;
  expectSame(new Uint8Array(buffer, atBytes + 7 * PAGE, PAGE).slice(), new Uint8Array(PAGE).fill(1));
  const origin = { read: () => {}, close: () => {} };
  expect((await Mirror.open(regions, openKernels, origin)).sharedPages(0, pages)).toBeUndefined();
});

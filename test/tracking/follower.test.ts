// A tracker that is followed: what the follower loses and what it sees at epochs are exactly what changed, whatever an
// engine does in between; a travel is all or nothing and leaves the base of the saves alone.

import { describe, expect, it } from 'vitest';
import { copyBytes } from '../../src/base/bytes.ts';
import { VitrineError } from '../../src/base/error.ts';
import { nextTask } from '../../src/base/pacing.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { DeviceRecord } from '../../src/guest/guest.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import { Random } from '../../src/testing/random.ts';
import type { Follower } from '../../src/tracking/follower.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import { tickingClock } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGE = 256;
const PAGES = 64;

/** Follows with a copy of its own: each epoch it is what the guest was, when nothing was kept from it. */
class Copy implements Follower {
  readonly image = new Uint8Array(PAGE * PAGES);
  readonly lost = new Map<number, Uint8Array>();
  captures = 0;
  commits = 0;

  losing(_: number, page: number, bytes: Uint8Array): void {
    if (!this.lost.has(page)) this.lost.set(page, copyBytes(bytes));
  }

  captured(): void {
    this.captures++;
  }

  committed(): void {
    this.commits++;
  }

  /** What was lost is what the image had. */
  follow(page: (page: number) => Uint8Array): void {
    for (const [index, old] of this.lost) {
      expectSame(old, this.image.subarray(index * PAGE, (index + 1) * PAGE));
      this.image.set(page(index), index * PAGE);
    }
    this.lost.clear();
  }
}

async function open(tracking: 'none' | 'marks' | 'barrier') {
  const memory = new Uint8Array(PAGE * PAGES);
  const guest = new FlatGuest({ regions: [{ name: 'ram', bytes: memory, pageBytes: PAGE }], tracking });
  // By this clock each step of a live capture is a slice.
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels(), clock: tickingClock() });
  const copy = new Copy();
  await tracker.follow(copy);
  const epoch = () =>
    tracker.epoch((instant) => {
      copy.follow((page) => instant.page(0, page));
    });
  // The first instant that it knows is whole.
  await tracker.epoch((instant) => {
    for (let page = 0; page < PAGES; page++) copy.image.set(instant.page(0, page), page * PAGE);
    copy.lost.clear();
  });
  return { guest, memory, tracker, copy, epoch };
}

async function restore(tracker: ScanTracker, image: Uint8Array, devices: readonly DeviceRecord[]) {
  await tracker.beginRestore({ full: false });
  const pages = Uint32Array.from({ length: PAGES }, (_, page) => page);
  await tracker.stagePages(0, pages, copyBytes(image));
  await tracker.applyRestore(devices);
}

describe.each(['none', 'marks', 'barrier'] as const)('a guest whose tracking is %s, followed', (tracking) => {
  it('is known exactly at each epoch, through saves, restores, resets and travels', async () => {
    const random = new Random(seedOfRun());
    const { guest, memory, tracker, copy, epoch } = await open(tracking);
    let saved = { image: copyBytes(memory), devices: [] as readonly DeviceRecord[] };
    for (let round = 0; round < 200; round++) {
      guest.run(random.below(40));
      const act = random.below(8);
      if (act === 0 || saved.devices.length === 0) {
        const { devices } = await tracker.capture({ full: false });
        saved = { image: copyBytes(memory), devices };
        if (random.chance(0.5)) await tracker.commit();
        else await tracker.putBack();
      } else if (act === 1) await restore(tracker, saved.image, saved.devices);
      else if (act === 2) {
        await tracker.beginRestore({ full: false });
        await tracker.stageZeros(0, Uint32Array.of(random.below(PAGES)));
        await tracker.abandonRestore();
      } else if (act === 3) await tracker.checkpoint();
      else if (act === 4) await tracker.resetToCheckpoint().catch(() => {});
      else if (act === 5) {
        const { image, devices } = saved;
        const travel = tracker.travel(async (here) => {
          copy.follow((page) => here.page(0, page));
          for (let page = 0; page < PAGES; page++)
            here.put(0, page, image.subarray(page * PAGE, (page + 1) * PAGE));
          return devices;
        });
        await travel;
        expectSame(memory, image);
      } else if (act === 6) {
        const capturing = tracker.capture({ full: false, live: { bufferBytes: random.pick([0, 4 * PAGE]) } });
        // It runs on while its pages are brought in, where it can be captured so.
        for (let turn = 0; turn < 3; turn++) {
          await nextTask();
          try {
            guest.run(random.below(20));
          } catch (error) {
            expect(error).toMatchObject({ code: 'wrong-state' });
          }
        }
        await capturing;
        await tracker.commit();
      }
      await epoch();
      expectSame(copy.image, memory);
    }
  });

  it('saves what a travel wrote, and only that', async () => {
    const { guest, memory, tracker } = await open(tracking);
    guest.write(0, 0, new Uint8Array(PAGE).fill(1));
    await tracker.capture({ full: false });
    await tracker.commit();
    await tracker.travel(async (here) => {
      here.put(0, 3, new Uint8Array(PAGE).fill(7));
      return here.devices;
    });
    const { changed } = await tracker.capture({ full: false });
    expect([...new PageSet(PAGES, changed[0]!)]).toEqual([3]);
    const { bytes, previousOf } = await tracker.readPages(0, Uint32Array.of(3));
    expectSame(bytes, memory.subarray(3 * PAGE, 4 * PAGE));
    expect([...previousOf], 'what it held before is known').toEqual([0]);
  });

  it('stays where it is when a travel fails', async () => {
    const { guest, memory, tracker, copy, epoch } = await open(tracking);
    guest.run(500);
    await epoch();
    const before = copyBytes(memory);
    const far = new Uint8Array(PAGE).fill(9);
    const nowhere = tracker.travel(async (here) => {
      here.put(0, 5, far);
      throw new VitrineError('codec-damaged');
    });
    await expect(nowhere).rejects.toMatchObject({ code: 'codec-damaged' });
    expectSame(memory, before);
    const refused = tracker.travel(async (here) => {
      here.put(0, 6, far);
      return [];
    });
    await expect(refused).rejects.toMatchObject({ code: 'guest-state-invalid' });
    expectSame(memory, before);
    await epoch();
    expectSame(copy.image, memory);
    guest.run(500);
    await epoch();
    expectSame(copy.image, memory);
  });
});

describe('calls of an engine', () => {
  it('wait for an epoch under way instead of failing', async () => {
    const { tracker, copy, epoch } = await open('marks');
    const epochs = [epoch(), epoch()];
    const captured = tracker.capture({ full: false });
    await Promise.all(epochs);
    await captured;
    expect(copy.captures).toBe(1);
    await expect(epoch()).rejects.toMatchObject({ code: 'wrong-state' });
    await tracker.commit();
    expect(copy.commits).toBe(1);
    await epoch();
  });

  it('are served while the guest is held', async () => {
    const { guest, tracker } = await open('none');
    await tracker.hold();
    expect(() => guest.run(1)).toThrow();
    await tracker.capture({ full: false });
    await tracker.putBack();
    await tracker.release();
    guest.run(1);
  });

  it('end when the tracker is closed, and it stays closed', async () => {
    const { tracker, epoch } = await open('none');
    const under = epoch().catch(() => {});
    await tracker.close();
    await under;
    await expect(epoch()).rejects.toMatchObject({ code: 'guest-closed' });
  });

  it('let one follower in at a time', async () => {
    const { tracker } = await open('none');
    await expect(tracker.follow(new Copy())).rejects.toMatchObject({ code: 'busy' });
    await tracker.follow(null);
    await tracker.follow(new Copy());
  });
});

// Live captures: the instant is the one at which the guest rested, bit for bit, however hard it writes afterwards; and
// whatever ends a capture early, the guest runs on and no page is forgotten.

import { afterEach, describe, expect, it, vi } from 'vitest';
import { copyBytes } from '../../src/base/bytes.ts';
import { nextTask } from '../../src/base/pacing.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { DeviceRecord, GuestTraits } from '../../src/guest/guest.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import { Random } from '../../src/testing/random.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import type { CapturedInstant } from '../../src/tracking/tracker.ts';
import { tickingClock } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

/** Four of them are a step of the saver, and by the clock used here each step is a slice. */
const PAGE_BYTES = 65_536;
const PAGES = 24;

afterEach(() => vi.unstubAllGlobals());

/** A guest that keeps a copy of its memory whenever its devices are saved: the truth about the instant. */
class Witness extends FlatGuest {
  truth: Uint8Array[] = [];
  override readonly traits: GuestTraits;
  readonly memory: readonly Uint8Array[];
  failsToSave = false;

  constructor(options: { tracking: 'none' | 'marks' | 'barrier'; auditScans?: number }) {
    // The last page of `odd` is no whole one, and `small` ends before its first page does.
    const memory = [PAGES * PAGE_BYTES, 5 * PAGE_BYTES + 700, 100].map((bytes) => new Uint8Array(bytes));
    const [ram, odd, small] = memory as [Uint8Array, Uint8Array, Uint8Array];
    super({
      tracking: options.tracking,
      regions: [
        { name: 'ram', bytes: ram, pageBytes: PAGE_BYTES, guestAddress: 0 },
        { name: 'odd', bytes: odd, pageBytes: PAGE_BYTES, kind: 'device' },
        { name: 'small', bytes: small, pageBytes: 256, kind: 'other' },
      ],
    });
    this.memory = memory;
    const { auditScans } = options;
    this.traits = {
      tracking: options.tracking,
      sharedMemory: false,
      ...(auditScans === undefined ? {} : { auditScans }),
    };
  }

  override saveDevices(): DeviceRecord[] {
    if (this.failsToSave) throw new Error('refused');
    this.truth = this.memory.map(copyBytes);
    return super.saveDevices();
  }
}

async function open(options: { tracking?: 'none' | 'marks' | 'barrier'; auditScans?: number } = {}) {
  const guest = new Witness({ tracking: 'barrier', ...options });
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels(), clock: tickingClock() });
  guest.run(5000);
  return { guest, tracker };
}

/** Lets the guest write between the saver's slices until `work` ends. Returns its result and how often the guest ran. */
async function whileWriting<T>(
  guest: FlatGuest,
  work: () => Promise<T>,
  steps = 300,
  beside?: () => void,
): Promise<[T, number]> {
  let isRunning = true;
  let turns = 0;
  const writer = (async () => {
    for (; isRunning; await nextTask()) {
      guest.run(steps);
      beside?.();
      turns++;
    }
  })();
  try {
    return [await work(), turns];
  } finally {
    isRunning = false;
    await writer;
  }
}

/** The captured instant is the truth. */
async function expectTruth(tracker: ScanTracker, { truth, regions }: Witness): Promise<void> {
  for (const { id, sizeBytes, pageBytes } of regions) {
    const all = Uint32Array.from({ length: Math.ceil(sizeBytes / pageBytes) }, (_, page) => page);
    const { bytes } = await tracker.readPages(id, all);
    expectSame(bytes.subarray(0, sizeBytes), truth[id]!);
  }
}

/** Every page in which the instant differs from `before` is told as changed. */
function expectTold(
  { changed }: CapturedInstant,
  { truth, regions }: Witness,
  before: readonly Uint8Array[],
): void {
  for (const { id, sizeBytes, pageBytes } of regions) {
    const count = Math.ceil(sizeBytes / pageBytes);
    const told = new PageSet(count, changed[id]!);
    for (let page = 0; page < count; page++) {
      const [now, then] = [truth[id]!, before[id]!].map((bytes) =>
        bytes.subarray(page * pageBytes, (page + 1) * pageBytes),
      );
      if (Buffer.compare(now!, then!) !== 0) expect(told.has(page)).toBe(true);
    }
  }
}

const zeros = (guest: Witness) => guest.memory.map((bytes) => new Uint8Array(bytes.length));

describe.each([0, 1, 2, 9, 1000])('a live capture with a ring of %i pages', (ringPages) => {
  const live = { bufferBytes: ringPages * PAGE_BYTES };

  it('is of the instant at which the guest rested, under heavy writing, again and again', async () => {
    const { guest, tracker } = await open();
    let before: readonly Uint8Array[] = zeros(guest);
    for (let round = 0; round < 4; round++) {
      const [instant, turns] = await whileWriting(guest, () => tracker.capture({ full: false, live }));
      expect(turns).toBeGreaterThan(3);
      await expectTruth(tracker, guest);
      expectTold(instant, guest, before);
      const report = instant.live!;
      expect(report).toMatchObject({ mode: 'barrier', pauseMs: instant.pauseMs });
      expect(report.pagesCopiedAside).toBeGreaterThan(5);
      expect(report.ringBytes).toBeLessThanOrEqual(live.bufferBytes);
      expect(report.peakRingBytes).toBeLessThanOrEqual(report.ringBytes);
      if (ringPages === 0) expect(report.spilled).toBe(report.pagesCopiedAside);
      if (ringPages === 1000) expect(report.spilled).toBe(0);
      if (round % 2 === 0) {
        await tracker.commit();
        before = guest.truth;
      } else await tracker.putBack();
      guest.run(200);
    }
    // A stopped one after it has what the guest wrote meanwhile.
    const after = await tracker.capture({ full: false });
    expect(after.live).toBe(undefined);
    await expectTruth(tracker, guest);
    expectTold(after, guest, before);
  });

  it('tells changes from zeros when it is full', async () => {
    const { guest, tracker } = await open();
    await tracker.capture({ full: false });
    await tracker.commit();
    const [instant] = await whileWriting(guest, () => tracker.capture({ full: true, live }));
    await expectTruth(tracker, guest);
    expectTold(instant, guest, zeros(guest));
  });

  it('that is given up forgets nothing, and the next one is right', async () => {
    const { guest, tracker } = await open();
    await tracker.capture({ full: false });
    await tracker.commit();
    const before = guest.truth;
    guest.run(5000);
    for (const end of ['cancel', 'reset'] as const) {
      const [code] = await whileWriting(
        guest,
        async () => {
          const capturing = tracker.capture({ full: false, live }).then(
            () => 'none',
            (error) => error.code,
          );
          // Some slices, so that the ring and the mirror both hold a part of the instant.
          for (let task = 0; task < 5; task++) await nextTask();
          await (end === 'cancel' ? tracker.cancelCapture() : tracker.reset());
          return capturing;
          // So few steps that most of what was written before is not written again.
        },
        2,
      );
      expect(code).toBe('aborted');
    }
    const instant = await tracker.capture({ full: false, live });
    await expectTruth(tracker, guest);
    expectTold(instant, guest, before);
    await tracker.cancelCapture();
    await expectTruth(tracker, guest);
  });
});

describe('a live capture', () => {
  const live = { bufferBytes: 4 * PAGE_BYTES };

  it('does with less where memory for the ring is refused', async () => {
    const { guest, tracker } = await open();
    const PlatformBuffer = ArrayBuffer;
    vi.stubGlobal(
      'ArrayBuffer',
      class extends PlatformBuffer {
        constructor(bytes: number) {
          if (bytes > PAGE_BYTES) throw new RangeError('Array buffer allocation failed');
          super(bytes);
        }
      },
    );
    const [instant] = await whileWriting(guest, () => tracker.capture({ full: false, live }));
    expect(instant.live).toMatchObject({ mode: 'barrier', ringBytes: 0 });
    expect(instant.live!.spilled).toBeGreaterThan(0);
    await expectTruth(tracker, guest);
  });

  it('keeps pages for deltas, just as others do', async () => {
    const { guest, tracker } = await open();
    await tracker.capture({ full: false });
    await tracker.commit();
    const before = guest.truth;
    guest.run(50);
    const [instant] = await whileWriting(guest, () => tracker.capture({ full: false, live }));
    const changed = [...new PageSet(PAGES, instant.changed[0]!)];
    const { previous, previousOf } = await tracker.readPages(0, Uint32Array.from(changed));
    expect(previousOf.length).toBeGreaterThan(0);
    for (const [index, of] of previousOf.entries()) {
      const at = changed[of]! * PAGE_BYTES;
      expectSame(
        previous.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES),
        before[0]!.subarray(at, at + PAGE_BYTES),
      );
    }
  });

  it('refuses a restore, a checkpoint and another capture meanwhile, and serves a peek', async () => {
    const { guest, tracker } = await open();
    await whileWriting(guest, async () => {
      const capturing = tracker.capture({ full: false, live });
      for (let task = 0; task < 5; task++) await nextTask();
      const wrong = { code: 'wrong-state' };
      await expect(tracker.beginRestore({ full: false })).rejects.toMatchObject(wrong);
      await expect(tracker.checkpoint()).rejects.toMatchObject(wrong);
      await expect(tracker.capture({ full: false, live })).rejects.toMatchObject(wrong);
      const { bytes } = await tracker.peek([{ region: 2, offsetBytes: 0, lengthBytes: 100 }]);
      expect(bytes[0]!.length).toBe(100);
      await capturing;
    });
    await expectTruth(tracker, guest);
    await tracker.commit();
    await tracker.checkpoint();
    const point = guest.truth;
    const [instant] = await whileWriting(guest, () => tracker.capture({ full: false, live }));
    expectTold(instant, guest, point);
    await tracker.putBack();
    await tracker.resetToCheckpoint();
    for (const [region, bytes] of guest.memory.entries()) expectSame(bytes, point[region]!);
  });

  it('ends with a code when its guest is closed, and when the guest refuses to be saved', async () => {
    const { guest, tracker } = await open();
    await tracker.capture({ full: false });
    await tracker.commit();
    const before = guest.truth;
    guest.run(500);
    guest.failsToSave = true;
    await expect(tracker.capture({ full: false, live })).rejects.toThrow('refused');
    guest.failsToSave = false;
    const [instant] = await whileWriting(guest, () => tracker.capture({ full: false, live }));
    expectTold(instant, guest, before);
    await expectTruth(tracker, guest);
    await tracker.putBack();
    const capturing = tracker.capture({ full: false, live });
    for (let task = 0; task < 3; task++) await nextTask();
    await tracker.close();
    await expect(capturing).rejects.toMatchObject({ code: 'guest-closed' });
  });

  it.each(['none', 'marks'] as const)('stops a guest whose tracking is %s, and says so', async (tracking) => {
    const { guest, tracker } = await open({ tracking });
    const [instant] = await whileWriting(guest, () => tracker.capture({ full: false, live }));
    expect(instant.live).toMatchObject({
      mode: 'stopped',
      reason: 'the guest has no write barrier',
      pauseMs: instant.pauseMs,
      ringBytes: 0,
    });
    await expectTruth(tracker, guest);
  });
});

describe('marks that were put in from outside', () => {
  const live = { bufferBytes: 2 * PAGE_BYTES };

  it('are proven while the guest runs, before its first live capture', async () => {
    const { guest, tracker } = await open({ auditScans: 3 });
    const [instant] = await whileWriting(guest, () => tracker.capture({ full: false, live }));
    expect(instant.live).toMatchObject({ mode: 'barrier' });
    await expectTruth(tracker, guest);
    expectTold(instant, guest, zeros(guest));
    expect(await tracker.describe()).toMatchObject({ tier: 'barrier' });
  });

  it('keep a guest stopped while it writes nothing that could prove them', async () => {
    const { guest, tracker } = await open({ auditScans: 3 });
    const instant = await tracker.capture({ full: false, live });
    expect(instant.live).toMatchObject({ mode: 'stopped', reason: expect.stringContaining('not proven') });
    await expectTruth(tracker, guest);
  });

  it('that miss a page stop the guest for good', async () => {
    const { guest, tracker } = await open({ auditScans: 3 });
    let before: readonly Uint8Array[] = zeros(guest);
    for (let round = 0; round < 3; round++) {
      const writeUnmarked = () => {
        guest.memory[0]![(PAGES - 1) * PAGE_BYTES]! += 1;
      };
      // One step a turn, so that few pages are marked by accident.
      const capture = () => tracker.capture({ full: false, live });
      const [instant] = await whileWriting(guest, capture, 1, writeUnmarked);
      expect(instant.live).toMatchObject({ mode: 'stopped' });
      await expectTruth(tracker, guest);
      expectTold(instant, guest, before);
      await tracker.commit();
      before = guest.truth;
    }
    expect(await tracker.describe()).toMatchObject({
      tier: 'scan',
      tierReason: expect.stringContaining('without a mark'),
    });
  });
});

describe('random calls', () => {
  it('always give the instant and all that changed', async () => {
    const random = new Random(seedOfRun());
    const { guest, tracker } = await open();
    let before: readonly Uint8Array[] = zeros(guest);
    let point: readonly Uint8Array[] | undefined;
    for (let turn = 0; turn < 60; turn++) {
      guest.run(random.below(400));
      const kind = random.below(6);
      if (kind <= 2) {
        const live = { bufferBytes: random.below(12) * PAGE_BYTES };
        const [instant] = await whileWriting(
          guest,
          () => tracker.capture({ full: random.chance(0.2), live }),
          random.below(300),
        );
        await expectTruth(tracker, guest);
        expectTold(instant, guest, before);
        if (random.chance(0.6)) {
          await tracker.commit();
          before = guest.truth;
        } else await tracker.putBack();
      } else if (kind === 3) {
        await tracker.capture({ full: false });
        await expectTruth(tracker, guest);
        await tracker.putBack();
      } else if (kind === 4) {
        await tracker.checkpoint();
        point = guest.truth;
      } else if (point !== undefined) {
        await tracker.resetToCheckpoint();
        for (const [region, bytes] of guest.memory.entries()) expectSame(bytes, point[region]!);
      }
    }
  });
});

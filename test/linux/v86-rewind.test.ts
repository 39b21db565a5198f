// Linux on v86 with its recent past: at ten epochs a second while a shell works, then to any point and on from there.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyBytes } from '../../src/base/bytes.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import type { DeviceRecord } from '../../src/guest/guest.ts';
import type { V86Guest } from '../../src/guest/v86/index.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { EpochTimer } from '../../src/rewind/epoch-timer.ts';
import { openRewind } from '../../src/rewind/open-rewind.ts';
import type { Rewind } from '../../src/rewind/rewind.ts';
import type { PointId } from '../../src/rewind/timeline.ts';
import { Random } from '../../src/testing/random.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';
import { openLinux, Shell } from './shell.ts';

const WORK = [
  'ls -la /bin | sort | tail -1',
  'seq 1 2000 | sort -n | md5sum',
  'dd if=/dev/urandom of=/tmp/noise bs=64k count=4 2>/dev/null',
  'ps; echo step > /tmp/step',
];

interface Copy {
  readonly memory: readonly Uint8Array[];
  readonly devices: readonly DeviceRecord[];
}

describe('Linux on v86, recorded', () => {
  let guest: V86Guest;
  let shell: Shell;
  let tracker: ScanTracker;
  let rewind: Rewind;
  /** The records that the guest was given last. */
  let loaded: readonly DeviceRecord[] = [];
  const copies = new Map<PointId, Copy>();

  beforeAll(async () => {
    guest = await openLinux();
    const load = guest.loadDevices.bind(guest);
    guest.loadDevices = (records) => {
      loaded = records;
      return load(records);
    };
    shell = new Shell(guest);
    await guest.start();
    await shell.untilUp();
    tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    rewind = await openRewind(tracker, { codecs: await loadCodecs() });
  });
  afterAll(() => guest.close());

  /** A point, with a full copy of its instant. */
  async function pointWithCopy(): Promise<PointId> {
    await guest.pause();
    try {
      // At rest nothing changes between the two.
      let devices: readonly DeviceRecord[] = [];
      const save = guest.saveDevices.bind(guest);
      guest.saveDevices = () => {
        const records = save();
        devices = records.map((record) => ({ ...record, bytes: copyBytes(record.bytes) }));
        return records;
      };
      await rewind.epoch();
      guest.saveDevices = save;
      const memory = guest.regions.map(({ id }) => copyBytes(guest.view(id)!));
      const { id } = rewind.points().find(({ isHead }) => isHead)!;
      copies.set(id, { memory, devices });
      return id;
    } finally {
      await guest.resume();
    }
  }

  async function expectAt(id: PointId): Promise<void> {
    const copy = copies.get(id)!;
    await guest.pause();
    for (const { id: region } of guest.regions) expectSame(guest.view(region)!, copy.memory[region]!);
    await guest.resume();
    expect(loaded.map(({ name }) => name)).toEqual(copy.devices.map(({ name }) => name));
    for (const [index, { bytes }] of loaded.entries()) expectSame(bytes, copy.devices[index]!.bytes);
  }

  it('goes to any of its points exactly, and on from there', async () => {
    const random = new Random(seedOfRun());
    const timer = new EpochTimer(rewind, { epochMs: 100 });
    const marked: PointId[] = [];
    for (const command of WORK) {
      await shell.run(command);
      marked.push(await pointWithCopy());
      await rewind.bookmark(marked.at(-1)!, command);
    }
    const figures = rewind.stats();
    console.info(JSON.stringify(figures));
    expect(figures.points).toBeGreaterThan(WORK.length);
    expect(figures.usedBytes).toBeLessThan(8 << 20);
    for (let seek = 0; seek < 12; seek++) {
      const id = random.pick(marked);
      await rewind.seek(id);
      await expectAt(id);
    }
    timer.stop();
    // Before the file was written there is none, and the shell goes on as if nothing had happened.
    await rewind.seek(marked[1]!);
    await rewind.resume();
    expect(await shell.run('ls /tmp')).toBe('');
    expect(await shell.run('seq 1 3000 | sort -n | md5sum')).toBe('ee9762749fc5338b6c9b0948d14219c7  -');
    const [before, after] = (await shell.run('date +%s; sleep 1; date +%s')).split('\n').map(Number);
    expect(after! - before!).toBeGreaterThanOrEqual(1);
    // The future that was left is there still, a branch.
    await rewind.epoch();
    await rewind.seek(marked[3]!);
    await expectAt(marked[3]!);
    await rewind.resume();
    expect(await shell.run('cat /tmp/step')).toBe('step');
    expect(rewind.stats().branches).toBeGreaterThan(0);
  });

  it('keeps up with ten epochs a second, and with a frame sixty times a second', async () => {
    for (const epochMs of [100, 16]) {
      const before = rewind.stats();
      const timer = new EpochTimer(rewind, { epochMs });
      await shell.run('i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; ls /bin | sort | md5sum');
      timer.stop();
      const { epochs, lastPauseMs, longestPauseMs } = rewind.stats();
      const taken = epochs.taken - before.epochs.taken;
      console.info(
        `every ${epochMs} ms: ${taken} taken, ${epochs.skippedBehind - before.epochs.skippedBehind} behind, pause ${lastPauseMs.toFixed(2)}, longest ${longestPauseMs.toFixed(2)} ms`,
      );
      expect(taken).toBeGreaterThan(1);
    }
  });
});

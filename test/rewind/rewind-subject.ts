// A history under test beside a naive one: a full copy of memory and devices for each point.

import { expect } from 'vitest';
import { copyBytes } from '../../src/base/bytes.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { DeviceRecord, Guest } from '../../src/guest/guest.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openRewind, type RewindOptions } from '../../src/rewind/open-rewind.ts';
import type { Rewind } from '../../src/rewind/rewind.ts';
import type { RewindPoint } from '../../src/rewind/rewind-report.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import { tickingClock } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';

/** A clock that a test moves. */
export function handClock() {
  const clock = { ms: 0, nowMs: () => clock.ms, wallMs: () => 1_700_000_000_000 + clock.ms };
  return clock;
}

/** A guest as it was. */
export interface FullCopy {
  readonly memory: readonly Uint8Array[];
  readonly devices: readonly DeviceRecord[];
}

/** Memory and devices of a guest, which may be paused. */
export async function copyOf(guest: Guest): Promise<FullCopy> {
  await guest.pause();
  try {
    const memory: Uint8Array[] = [];
    for (const { id, sizeBytes } of guest.regions) {
      const bytes = new Uint8Array(sizeBytes);
      await guest.readPages({ region: id, offsetBytes: 0, lengthBytes: sizeBytes }, bytes);
      memory.push(bytes);
    }
    const devices = (await guest.saveDevices()).map((one) => ({ ...one, bytes: copyBytes(one.bytes) }));
    return { memory, devices };
  } finally {
    await guest.resume();
  }
}

export function expectSameCopy(actual: FullCopy, expected: FullCopy): void {
  for (const [index, bytes] of actual.memory.entries()) expectSame(bytes, expected.memory[index]!);
  const shape = ({ name, version, bytes }: DeviceRecord) => `${name} ${version} ${bytes.length}`;
  expect(actual.devices.map(shape)).toEqual(expected.devices.map(shape));
  for (const [index, { bytes }] of actual.devices.entries())
    expectSame(bytes, expected.devices[index]!.bytes);
}

export interface FlatRewind {
  readonly guest: FlatGuest;
  readonly memory: Uint8Array;
  readonly tracker: ScanTracker;
  readonly rewind: Rewind;
  /** The point where the guest is. */
  head(): RewindPoint;
}

export async function openFlatRewind(
  options: Partial<RewindOptions> & {
    readonly pages?: number;
    readonly tracking?: 'none' | 'marks';
    readonly seed?: number;
  } = {},
): Promise<FlatRewind> {
  const { pages = 64, tracking = 'marks', seed = 1, ...rest } = options;
  const memory = new Uint8Array(pages * 4096 - 100);
  const video = new Uint8Array(1000);
  const guest = new FlatGuest({
    regions: [
      { name: 'ram', bytes: memory },
      { name: 'vram', bytes: video, pageBytes: 256, kind: 'device' },
    ],
    tracking,
    seed,
  });
  const { clock = tickingClock() } = rest;
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels(), clock });
  const rewind = await openRewind(tracker, { codecs: await loadCodecs(), ...rest, clock });
  const head = () => rewind.points({ branches: true }).find(({ isHead }) => isHead)!;
  return { guest, memory, tracker, rewind, head };
}

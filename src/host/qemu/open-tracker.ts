// How a machine's changes are found: which tracker follows a QEMU machine.

import { type Clock, SYSTEM_CLOCK } from '../../base/clock.ts';
import { MIB } from '../../base/limits.ts';
import { loadKernels } from '../../kernel/load.ts';
import { DigestTracker } from '../../tracking/digest-tracker.ts';
import { MarkedScanner } from '../../tracking/marked-scanner.ts';
import { openScanTracker } from '../../tracking/scan-tracker.ts';
import type { Tracker } from '../../tracking/tracker.ts';
import { MirrorThreads } from '../pages/mirror-threads.ts';
import { RamScanner } from '../pages/ram-scanner.ts';
import { StagingFile } from '../pages/staging-file.ts';
import { FileScanner } from './file-scanner.ts';
import type { QemuGuestOptions } from './guest-options.ts';
import type { QemuProcess } from './process.ts';
import type { QemuGuest } from './qemu-guest.ts';

const MOST_COPIED_BYTES = 1024 * MIB;

/** Memory of ours that the copy of a machine's RAM takes. */
export function mirrorBytesOf(memoryBytes: number): number {
  return memoryBytes <= MOST_COPIED_BYTES ? memoryBytes : 0;
}

export interface OpenTrackerOptions extends Pick<QemuGuestOptions, 'ram'> {
  readonly clock?: Clock;
  /** As in `QemuMachineOptions`. */
  readonly mostCopiedBytes?: number;
}

/**
 * A tracker with a copy of RAM, or for a machine that is too large for that one with digests, which reads RAM in threads. Where
 * RAM is no file, threads have nothing to read.
 */
export async function openTracker(
  guest: QemuGuest,
  { profile, files }: QemuProcess,
  { clock = SYSTEM_CLOCK, ram, mostCopiedBytes = MOST_COPIED_BYTES }: OpenTrackerOptions,
): Promise<Tracker> {
  if (ram === 'private' || profile.memoryBytes <= mostCopiedBytes) {
    // Threads read RAM as a file.
    if (ram !== undefined && ram !== 'file')
      return openScanTracker(guest, { openKernels: () => loadKernels(), clock, ...guest.takeOrigin() });
    return openScanTracker(guest, {
      openKernels: () => loadKernels({ shared: true }),
      openScanner: (mirror) => new FileScanner(guest, mirror, new MirrorThreads(files.ram, mirror)),
      clock,
    });
  }
  const scanner = new MarkedScanner(guest, new RamScanner(files.ram, guest.regions));
  const staging = new StagingFile(files.directory, guest.regions);
  return new DigestTracker({ guest, scanner, staging, clock });
}

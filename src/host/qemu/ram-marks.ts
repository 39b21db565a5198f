// What is known of the pages that a machine wrote, by where its RAM lies.

import { CloneRam } from './clone-ram.ts';
import type { Ram } from './process-ram.ts';
import { hasDiscarding } from './profile.ts';

/** Nobody outside can ask QEMU what was written, nor, where a file is shared, the kernel. */
const NO_MARKS = { tracking: 'none', trackingReason: 'its RAM is a file that it shares with us' } as const;
const NO_MARKS_OF_HOLES = {
  tracking: 'none',
  trackingReason: 'its balloon gives pages back that nobody wrote',
} as const;
/** What the kernel tells is tried like marks that others put in, unless it was proven: the first scans compare. */
const MARKS = { tracking: 'marks', auditScans: 2 } as const;
const PROVEN_MARKS = { tracking: 'marks' } as const;

export type RamMarks = typeof NO_MARKS | typeof NO_MARKS_OF_HOLES | typeof MARKS | typeof PROVEN_MARKS;

/** Of a machine with these devices: what its traits say, and with `marks` `Ram.writtenPages` has all that changed. */
export function marksOf(ram: Ram, devices: readonly string[]): RamMarks {
  if (hasDiscarding(devices)) return NO_MARKS_OF_HOLES;
  if (ram instanceof CloneRam) return PROVEN_MARKS;
  return ram.writtenPages === undefined ? NO_MARKS : MARKS;
}

// Room that a machine takes while it sends its memory: QEMU looks at every page of its RAM through its own address space, and a
// page of a file in memory that was never touched is there from then on. A host that has not that much would lose the machine.

import { readFileSync, statfsSync } from 'node:fs';
import { MIB } from '../../base/limits.ts';

/** Of file systems that lie in memory. */
const TMPFS = 0x0102_1994;
/** Left to the host. */
const MARGIN_BYTES = 256 * MIB;

/** Why the RAM file at `path` must not grow by so many bytes; undefined where it may. */
export function whyNoRoom(path: string, bytes: number): string | undefined {
  if (bytes <= 0) return undefined;
  const { bavail, bsize, type } = statfsSync(path);
  const free = type === TMPFS ? Math.min(bavail * bsize, availableBytes()) : bavail * bsize;
  if (bytes + MARGIN_BYTES <= free) return undefined;
  const [wanted, there] = [bytes, free].map((count) => Math.ceil(count / MIB));
  return `its memory would take ${wanted} MiB more of the host's while it is sent, which has ${there}`;
}

/** Whether the host's memory has room for so many bytes more. */
export function hasMemoryFor(bytes: number): boolean {
  return bytes + MARGIN_BYTES <= availableBytes();
}

function availableBytes(): number {
  const found = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'latin1'));
  return found === null ? Number.POSITIVE_INFINITY : Number(found[1]) * 1024;
}

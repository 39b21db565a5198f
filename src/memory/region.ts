// A region is a named block of a guest's memory: RAM, video memory, a disk that is written to. Its name and guest
// address are stable, so that a snapshot of it can be put into another instance of the same machine.

import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';

/** A named block of guest memory. */
export interface Region {
  /** Small number, unique in the machine, used in spans: the index in `Guest.regions`. */
  readonly id: number;
  /** Stable name, unique in the machine: `ram`, `vga.vram`, `disk.hda`. */
  readonly name: string;
  /** What it is to the guest. Peeks by guest address look only at `ram` and `device`. */
  readonly kind: 'ram' | 'device' | 'disk' | 'other';
  /**
   * Guest physical address of its first byte; null where the guest has no address for it, or not always the same, as with banks. No
   * two of kind `ram` or `device` overlap.
   */
  readonly guestAddress: number | null;
  /** Bytes; need not be a multiple of the page size. The last page is then padded with zeros. */
  readonly sizeBytes: number;
  /** Power of two between 256 and 65,536. */
  readonly pageBytes: number;
}

/** Pages of a region, the last one perhaps partly used. */
export function pageCountOf(region: Pick<Region, 'sizeBytes' | 'pageBytes'>): number {
  return Math.ceil(region.sizeBytes / region.pageBytes);
}

/** Throws `argument-invalid` when a list of regions is not one that a machine can have. */
export function checkRegions(regions: readonly Region[]): void {
  const refuse = (name: string, value: string | number): never => {
    throw new VitrineError('argument-invalid', { name, value });
  };
  if (regions.length > LIMITS.maxRegions) refuse('regions.length', regions.length);
  const names = new Set<string>();
  for (const [index, region] of regions.entries()) {
    if (region.id !== index) refuse('region.id', region.id);
    if (names.has(region.name) || region.name.length === 0) refuse('region.name', region.name);
    names.add(region.name);
    if (!isPageBytes(region.pageBytes)) refuse('region.pageBytes', region.pageBytes);
    if (!isCount(region.sizeBytes) || region.sizeBytes > LIMITS.maxTableBytes) {
      refuse('region.sizeBytes', region.sizeBytes);
    }
    if (region.guestAddress !== null && !isCount(region.guestAddress)) {
      refuse('region.guestAddress', region.guestAddress);
    }
  }
  requireApart(regions);
}

/** One address would mean two bytes, and a peek had to choose. */
function requireApart(regions: readonly Region[]): void {
  const placed = regions
    .flatMap(({ kind, name, guestAddress, sizeBytes }) =>
      (kind === 'ram' || kind === 'device') && guestAddress !== null && sizeBytes > 0
        ? [{ name, from: guestAddress, to: guestAddress + sizeBytes }]
        : [],
    )
    .sort((a, b) => a.from - b.from);
  for (const [index, { name, from }] of placed.entries()) {
    const before = placed[index - 1];
    if (before === undefined || before.to <= from) continue;
    throw new VitrineError('argument-invalid', {
      name: 'region.guestAddress',
      value: from,
      regions: [before.name, name],
      reason: 'they overlap; one that the guest does not always see there has no address (null)',
    });
  }
}

/** Whether a number is a page size: a power of two in the limits. */
export function isPageBytes(value: number): boolean {
  const isInRange = value >= LIMITS.minPageBytes && value <= LIMITS.maxPageBytes;
  // Bit operators cut fractions off: 4096.5 would pass for 4096.
  return isInRange && Number.isInteger(value) && (value & (value - 1)) === 0;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

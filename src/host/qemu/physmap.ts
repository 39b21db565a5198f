// Where a guest's physical addresses lie in its RAM file. A PC's RAM has a hole below 4 GiB for devices; what does not fit
// below it goes on at 4 GiB.
//
//   guest   0 ─────── low end │ devices │ 4 GiB ───────
//   file    0 ─────── low end ─────────────────────────
//
// Below 1 MiB, ROMs and video memory cover parts of RAM, as the chipset says at the time; the RAM behind them is there all
// the same and belongs to the machine, so both ranges are taken as whole.
//
// QEMU is asked (`info mtree -f`), and what it says must be the above: memory that is put together in another way, as with
// several NUMA nodes, is refused rather than taken for something else.

import { VitrineError } from '../../base/error.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Region } from '../../memory/region.ts';
import { RAM_BLOCK } from './profile.ts';

/** Guest addresses that follow each other in the RAM file, too. */
export interface RamRange {
  readonly guestAddress: number;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

const HIGH_START = 2 ** 32;

/**
 * The ranges of a machine's RAM, in file order, out of what `info mtree -f` printed.
 *
 * Throws `unsupported` when they do not make up all of it.
 */
export function ramRangesIn(flatView: string, memoryBytes: number): RamRange[] {
  const pieces = piecesOf(flatView);
  // Pieces of one range have the same distance between address and offset, whatever covers what lies between them.
  const byDistance = new Map<number, { from: number; to: number }>();
  for (const { guestAddress, offsetBytes, sizeBytes } of pieces) {
    const distance = guestAddress - offsetBytes;
    const known = byDistance.get(distance);
    const end = offsetBytes + sizeBytes;
    if (known === undefined) byDistance.set(distance, { from: offsetBytes, to: end });
    else byDistance.set(distance, { from: Math.min(known.from, offsetBytes), to: Math.max(known.to, end) });
  }
  const ranges = [...byDistance]
    .map(([distance, { from, to }]) => ({
      guestAddress: from + distance,
      offsetBytes: from,
      sizeBytes: to - from,
    }))
    .sort((a, b) => a.offsetBytes - b.offsetBytes);
  let at = 0;
  for (const range of ranges) {
    if (range.offsetBytes !== at) break;
    at += range.sizeBytes;
  }
  const [low, high, ...others] = ranges;
  const isPlain = at === memoryBytes && low?.guestAddress === 0 && others.length === 0;
  if (!isPlain || (high !== undefined && high.guestAddress < HIGH_START)) {
    throw new VitrineError('unsupported', { missing: 'RAM in one block', memoryBytes, found: ranges.length });
  }
  return ranges;
}

/** The file offset of a guest physical address; undefined where there is no RAM. */
export function offsetOfAddress(ranges: readonly RamRange[], address: number): number | undefined {
  const range = ranges.find(
    (one) => address >= one.guestAddress && address - one.guestAddress < one.sizeBytes,
  );
  return range === undefined ? undefined : address - range.guestAddress + range.offsetBytes;
}

/** The guest physical address of a file offset; undefined past the end. */
export function addressOfOffset(ranges: readonly RamRange[], offsetBytes: number): number | undefined {
  const range = ranges.find(
    (one) => offsetBytes >= one.offsetBytes && offsetBytes - one.offsetBytes < one.sizeBytes,
  );
  return range === undefined ? undefined : offsetBytes - range.offsetBytes + range.guestAddress;
}

/** Lines as `0000000000100000-0000000007ffffff (prio 0, ram): pc.ram @0000000000100000`, of all views; the same one more than once. */
function piecesOf(flatView: string): RamRange[] {
  const line =
    /^\s*([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (?:ram|rom|romd)\): (\S+)(?: @([0-9a-f]{16}))?/gm;
  const pieces: RamRange[] = [];
  for (const [, first, last, name, offset] of flatView.matchAll(line)) {
    if (name !== RAM_BLOCK) continue;
    const guestAddress = Number.parseInt(first!, 16);
    const sizeBytes = Number.parseInt(last!, 16) + 1 - guestAddress;
    pieces.push({ guestAddress, offsetBytes: Number.parseInt(offset ?? '0', 16), sizeBytes });
  }
  return pieces;
}

/** A region for each range. */
export function regionsOf(ranges: readonly RamRange[]): Region[] {
  return ranges.map(({ guestAddress, sizeBytes }, id) => ({
    id,
    name: id === 0 ? 'ram' : 'ram.high',
    kind: 'ram',
    guestAddress,
    sizeBytes,
    pageBytes: LIMITS.defaultPageBytes,
  }));
}

// A snapshot of a QEMU machine as other processes start from it: which machine it is, its devices, its memory blocks, its RAM.

import { VitrineError } from '../../base/error.ts';
import type { PeekRange } from '../../engine/peek.ts';
import type { SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import type { DeviceRecord } from '../../guest/guest.ts';
import { decodeBellRecord, isBellRecord, NOBODY_WAITS } from './bell-line.ts';
import { type BlockContent, readRecord } from './device-records.ts';
import { isDiskRecord } from './disk-record.ts';
import { RAM_BLOCK, type ResolvedProfile } from './profile.ts';
import type { DeviceSection, RamBlock } from './stream/index.ts';

const PROFILE_FIELDS = ['machine', 'cpu', 'cpus', 'accelerator', 'memoryBytes'] as const;

export interface SavedMachine {
  readonly id: SnapshotId;
  readonly machineType: string;
  /** RAM first, then the others in the order of `contents`. */
  readonly blocks: readonly RamBlock[];
  readonly sections: readonly DeviceSection[];
  /** Blocks that are not RAM. */
  readonly contents: readonly BlockContent[];
  readonly disks: readonly DeviceRecord[];
  /** The tag of whoever waits for an answer of the bell; null for nobody. */
  readonly waits: string | null;
  readonly ramBytes: number;
  /** Pieces of RAM, by their place in its block. */
  readRam(
    pieces: readonly { readonly offset: number; readonly lengthBytes: number }[],
  ): Promise<Uint8Array[]>;
}

/**
 * Reads what a machine was saved with, but for its RAM.
 *
 * Throws `guest-mismatch` with the field in which `profile` is another machine, `guest-state-invalid`, and what reading the
 * store throws.
 */
export async function readSavedMachine(
  vitrine: Vitrine,
  snapshot: SnapshotId,
  profile: ResolvedProfile,
): Promise<SavedMachine> {
  const { id, manifest } = await vitrine.show(snapshot);
  requireSame('kind', manifest.machine.kind, 'qemu');
  for (const field of PROFILE_FIELDS) {
    requireSame(`config.${field}`, manifest.machine.config[field], profile[field]);
  }
  const { regions } = manifest;
  const ramBytes = regions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return {
    id,
    ...savedDevices(await vitrine.devices(id), profile.machine, ramBytes),
    readRam: (pieces) =>
      vitrine.peek(
        id,
        pieces.map((piece) => rangeOf(regions, piece)),
      ),
  };
}

/** What records of a machine of this type, with so much RAM, say. Throws `guest-state-invalid`. */
export function savedDevices(
  records: readonly DeviceRecord[],
  machineType: string,
  ramBytes: number,
): Omit<SavedMachine, 'id' | 'readRam'> {
  const sections: DeviceSection[] = [];
  const contents: BlockContent[] = [];
  for (const record of records.filter((one) => !isDiskRecord(one) && !isBellRecord(one))) {
    const read = readRecord(record);
    if ('section' in read) sections.push(read.section);
    else contents.push(read.block);
  }
  return {
    machineType,
    blocks: [
      { name: RAM_BLOCK, usedBytes: ramBytes },
      ...contents.map(({ name, bytes }) => ({ name, usedBytes: bytes.length })),
    ],
    sections,
    contents,
    disks: records.filter(isDiskRecord),
    waits: decodeBellRecord(records.find(isBellRecord) ?? NOBODY_WAITS),
    ramBytes,
  };
}

/** Regions are parts of the RAM block, one behind the other. */
function rangeOf(
  regions: readonly { readonly name: string; readonly sizeBytes: number }[],
  { offset, lengthBytes }: { readonly offset: number; readonly lengthBytes: number },
): PeekRange {
  let at = offset;
  for (const { name, sizeBytes } of regions) {
    if (at + lengthBytes <= sizeBytes) return { region: name, offsetBytes: at, lengthBytes };
    at -= sizeBytes;
  }
  throw new VitrineError('span-out-of-range', { offset, lengthBytes });
}

function requireSame(field: string, snapshot: unknown, guest: unknown): void {
  if (snapshot === guest) return;
  throw new VitrineError('guest-mismatch', { field, snapshot: String(snapshot), guest: String(guest) });
}

// Virtual addresses of a stored QEMU machine, by the page tables that it held at that instant.

import { VitrineError } from '../../base/error.ts';
import type { SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { addressSpaceOf } from '../forensics/page-walk.ts';
import type { PhysicalRange } from '../forensics/physical-memory.ts';
import { memoryOfSnapshot } from '../forensics/snapshot-memory.ts';
import { VirtualMemory } from '../forensics/virtual-memory.ts';
import { registersIn } from './cpu-record.ts';

/**
 * The physical ranges of a virtual one, as a processor had it mapped, the first unless told.
 *
 * Throws `unsupported` for a machine that is none of QEMU's, `span-out-of-range` with the first address that is not mapped,
 * `not-found` without such a snapshot or processor, `object-damaged`.
 */
export async function translateInSnapshot(
  vitrine: Vitrine,
  snapshot: SnapshotId,
  address: bigint,
  lengthBytes: number,
  processor = 0,
): Promise<PhysicalRange[]> {
  const { id, manifest } = await vitrine.show(snapshot);
  const { kind } = manifest.machine;
  if (kind !== 'qemu') {
    throw new VitrineError('unsupported', { missing: 'virtual addresses in such a snapshot', guest: kind });
  }
  const cpu = registersIn(await vitrine.devices(id)).find(({ index }) => index === processor);
  if (cpu === undefined) throw new VitrineError('not-found', { processor });
  const memory = new VirtualMemory(await memoryOfSnapshot(vitrine, id), addressSpaceOf(cpu));
  return memory.ranges(address, lengthBytes);
}

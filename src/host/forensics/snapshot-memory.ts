// The physical memory of a stored snapshot, whatever emulator it is of.

import { VitrineError } from '../../base/error.ts';
import type { SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { PhysicalMemory } from './physical-memory.ts';

/** Throws `not-found`, `object-damaged`, and `unsupported` for a machine without RAM at physical addresses. */
export async function memoryOfSnapshot(vitrine: Vitrine, snapshot: SnapshotId): Promise<PhysicalMemory> {
  const { id, manifest } = await vitrine.show(snapshot);
  const ranges = manifest.regions.flatMap(({ kind, guestAddress, sizeBytes }) =>
    kind === 'ram' && guestAddress !== null ? [{ address: guestAddress, lengthBytes: sizeBytes }] : [],
  );
  if (ranges.length === 0) throw new VitrineError('unsupported', { missing: 'RAM at physical addresses' });
  return new PhysicalMemory(ranges, async (address, lengthBytes) => {
    const [bytes] = await vitrine.peek(id, [{ address, lengthBytes }]);
    return bytes!;
  });
}

// The layers of disks that a snapshot stands on, and how long they are.

import type { SnapshotLayer } from '../../bridge/recorded-layers.ts';
import type { SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { LayerFolder } from './disk-layers.ts';
import { decodeDiskRecord, isDiskRecord } from './disk-record.ts';

/**
 * Files as they are read now, where rows of layers were merged others than the snapshot names; bases, which are not ours, are left out.
 *
 * Throws `not-found`, `guest-state-invalid`, and what reading the store throws.
 */
export async function layersOf(
  vitrine: Vitrine,
  folder: string,
  snapshot: SnapshotId,
): Promise<SnapshotLayer[]> {
  const layers = new LayerFolder(folder);
  const found: SnapshotLayer[] = [];
  for (const record of (await vitrine.devices(snapshot)).filter(isDiskRecord)) {
    const chain = await layers.resolve(decodeDiskRecord(record).chain);
    for (const { path, bytes } of chain.slice(0, -1)) found.push({ path, bytes });
  }
  return found;
}

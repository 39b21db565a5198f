// Room on disk comes back: layers that none of a store's snapshots names and no machine stands on are removed.

import type { Vitrine } from '../../engine/vitrine.ts';
import { type FrozenFile, LayerFolder } from './disk-layers.ts';
import { decodeDiskRecord, isDiskRecord } from './disk-record.ts';

/**
 * Collects a folder of layers that belongs to one store; the names of what was removed. Machines may run and be saved meanwhile.
 *
 * Snapshots that are damaged are not looked at, as in `log`: mend or delete them first, or their layers go. Throws what reading
 * the store throws; nothing is removed then.
 */
export async function collectDisks(vitrine: Vitrine, folder: string): Promise<string[]> {
  return new LayerFolder(folder).collect(async () => {
    const chains: (readonly FrozenFile[])[] = [];
    for (const { id } of await vitrine.log()) {
      for (const record of (await vitrine.devices(id)).filter(isDiskRecord)) {
        chains.push(decodeDiskRecord(record).chain);
      }
    }
    return chains;
  });
}

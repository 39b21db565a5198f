// Room on disk comes back: layers that none of a store's snapshots names and no machine stands on are removed.

import { isVitrineError, VitrineError } from '../../base/error.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { type FrozenFile, LayerFolder } from './disk-layers.ts';
import { decodeDiskRecord, isDiskRecord } from './disk-record.ts';

/**
 * Collects a folder of layers that belongs to one store; the names of what was removed. Machines may run and be saved meanwhile.
 *
 * Throws what reading the store throws; a snapshot that cannot be read might name any layer, so that nothing is removed then, and its
 * id is in the error.
 */
export async function collectDisks(vitrine: Vitrine, folder: string): Promise<string[]> {
  return new LayerFolder(folder).collect(() => chainsOfSnapshots(vitrine));
}

/** The chains that a store's snapshots name. Throws for one that is damaged, with its id. */
export async function chainsOfSnapshots(vitrine: Vitrine): Promise<(readonly FrozenFile[])[]> {
  const chains: (readonly FrozenFile[])[] = [];
  for (const id of await vitrine.ids()) {
    try {
      for (const record of (await vitrine.devices(id)).filter(isDiskRecord)) {
        chains.push(decodeDiskRecord(record).chain);
      }
    } catch (error) {
      if (!isVitrineError(error)) throw error;
      // It was deleted meanwhile.
      if (error.code === 'not-found') continue;
      throw new VitrineError(error.code, { ...error.data, snapshot: id }, { cause: error });
    }
  }
  return chains;
}

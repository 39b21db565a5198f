// Chains of layers stay short: where several layers in a row are there only because snapshots that named them are gone, they
// become one. A snapshot names files and is never written again, so what stands for them now is said in notes of the folder:
//
//   snapshots   A: [a 9 8 7 6 5 b 3 2 1 base]     B: [b 3 2 1 base]
//   merged      a 9 8 7 6 5 → m    b 3 2 1 → n    read from then on as   A: [m n base]    B: [n base]
//
// The files that were merged are collected when no machine stands on them any more. A chain is left alone until there are so many
// layers in a row that it pays: each merge writes them all again.

import { isVitrineError } from '../../base/error.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { chainsOfSnapshots } from './collect-disks.ts';
import { type FrozenFile, LayerFolder } from './disk-layers.ts';

/** So many layers in a row become one. */
export const MERGED_FROM = 8;

/**
 * Merges what can be in a folder of layers that belongs to one store; how many rows of layers became one. Machines may run and be saved
 * meanwhile.
 *
 * Throws what reading the store throws, a damaged snapshot's error with its id, and `store-full`; nothing is lost then.
 */
export async function mergeDisks(vitrine: Vitrine, folder: string): Promise<number> {
  const layers = new LayerFolder(folder);
  const chains = [...(await layers.chainsInUse()), ...(await chainsOfSnapshots(vitrine))];
  const byTop = new Map(chains.filter(({ length }) => length > 1).map((chain) => [chain[0]!.path, chain]));
  /** Files as they are read now at which a chain that is needed begins, with that chain as it is named. */
  const starts = new Map<string, readonly FrozenFile[]>();
  let mergedCount = 0;
  // What lies below is merged first.
  for (const chain of [...byTop.values()].sort((a, b) => a.length - b.length)) {
    let files = await layers.resolve(chain);
    let count = 1;
    while (count < files.length - 1 && !starts.has(files[count]!.path)) count++;
    if (count >= MERGED_FROM) {
      const below = starts.get(files[count]!.path) ?? files.slice(count);
      if (await merge(layers, chain[0]!, files.slice(0, count), below)) {
        mergedCount++;
        files = await layers.resolve(chain);
      }
    }
    starts.set(files[0]!.path, chain);
  }
  return mergedCount;
}

/** A layer that another program made may be of a kind that is not merged: it stays as it is. */
async function merge(
  layers: LayerFolder,
  top: FrozenFile,
  row: readonly FrozenFile[],
  below: readonly FrozenFile[],
): Promise<boolean> {
  try {
    await layers.mergeRow(top, row, below);
    return true;
  } catch (error) {
    if (isVitrineError(error, 'unsupported')) return false;
    throw error;
  }
}

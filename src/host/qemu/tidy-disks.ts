// All that gives room of disks back, in its order: rows of layers become one, machines that run read through what they became, and then
// what nobody needs goes.

import { stat } from 'node:fs/promises';
import type { DisksReport } from '../../bridge/host.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { collectDisks } from './collect-disks.ts';
import { mergeDisks } from './merge-disks.ts';

/**
 * Tidies a folder of layers that belongs to one store; it need not be there. `shorten` is called when rows of layers were merged, for
 * machines that run.
 *
 * Throws as `mergeDisks` and `collectDisks`, and what `shorten` throws.
 */
export async function tidyDisks(
  vitrine: Vitrine,
  folder: string,
  shorten: () => Promise<void> = async () => {},
): Promise<DisksReport> {
  const isThere = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isThere) return { layersRemoved: 0, layersMerged: 0 };
  const layersMerged = await mergeDisks(vitrine, folder);
  await shorten();
  const layersRemoved = (await collectDisks(vitrine, folder)).length;
  return { layersRemoved, layersMerged };
}

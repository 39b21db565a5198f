// The disks of a machine that runs and whose owner is gone: what QEMU stands on is the truth, wherever a save or restore was cut off.
//
//   save was cut off      before the transaction: the new layer is nobody's, and goes. After it: the machine writes it already.
//   restore was cut off   the machine is half-way and cannot go on; whichever layers it has now, a restore swaps them out.
//
// What no disk stands on and the machine's notes call its own is removed.

import { basename } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import { type FrozenFile, LayerFolder } from './disk-layers.ts';
import { type Disk, type DiskOptions, Disks, deleteNode, deviceOf, NODE_PREFIX, nodeOf } from './disks.ts';
import { overlayImage } from './overlay-image.ts';
import type { Qmp } from './qmp.ts';
import type { BlockImage } from './qmp-commands.ts';
import type { ProcessName } from './run-directory.ts';

/**
 * Takes over the disks of a machine. Its process runs on whatever they turn out to be.
 *
 * Throws `guest-state-invalid` for a disk that is not what its options say, `disk-missing`.
 */
export async function findDisks(
  options: readonly DiskOptions[],
  folder: string,
  qmp: Qmp,
  qemu: ProcessName,
): Promise<Disks> {
  const layers = new LayerFolder(folder);
  const owned = await layers.ownedBy(qemu);
  const told = new Map(owned.flatMap(({ chain }) => chain).map((file) => [file.path, file]));
  const named = await namesOfNodes(qmp);
  const drives = await qmp.execute('query-block');
  const disks: Disk[] = [];
  for (const { name, file, format } of options) {
    const drive = drives.find(({ qdev }) => qdev?.includes(`/${deviceOf(name)}/`));
    const files = drive?.inserted === undefined ? [] : filesOf(drive.inserted.image);
    const [top, ...below] = files.map((path) => layerOr(folder, path));
    const base = below.indexOf(file);
    if (top === undefined || base < 0) throw new VitrineError('guest-state-invalid', { disk: name, files });
    // Of what lies below the base, and of that a qcow2 base may have files of its own, nothing is ours.
    const chain: FrozenFile[] = [];
    for (const path of below.slice(0, base + 1)) {
      const as = path === file ? format : ('qcow2' as const);
      // The uppermost one was still written when its note was made.
      const isFirst = chain.length === 0;
      chain.push((isFirst ? undefined : told.get(path)) ?? (await layers.lookAt({ path, format: as })));
    }
    const sizeBytes = await layers.diskBytes({ path: file, format });
    const active = { path: top, emptyBytes: overlayImage(sizeBytes, chain[0]!).length };
    const nodes = [top, ...below.slice(0, base)].flatMap((path) => named.get(layers.fileOf({ path })) ?? []);
    disks.push({
      name,
      sizeBytes,
      base: file,
      chain,
      active,
      nodes,
    });
  }
  const found = new Disks(layers, disks, options);
  await found.attach(qmp, qemu);
  const actives = new Set(disks.map(({ active }) => active.path));
  const frozen = new Set(disks.flatMap(({ chain }) => chain.map(({ path }) => path)));
  for (const { path } of owned) {
    if (actives.has(path)) continue;
    // Frozen: a snapshot may name it, or was about to.
    if (frozen.has(path)) await layers.disown({ path });
    else {
      await deleteNode(qmp, nodeOf({ path }));
      await layers.removeLayer({ path, emptyBytes: 0 });
    }
  }
  return found;
}

/** Files of a disk, its top first. */
function filesOf(image: BlockImage): string[] {
  const below = image['backing-image'];
  return [image.filename, ...(below === undefined ? [] : filesOf(below))];
}

/** A layer by its name, any other file by its path. */
function layerOr(folder: string, path: string): string {
  return path.startsWith(`${folder}/`) ? basename(path) : path;
}

/** Our names of nodes, by their files. */
async function namesOfNodes(qmp: Qmp): Promise<ReadonlyMap<string, string>> {
  const nodes = await qmp.execute('query-named-block-nodes', { flat: true });
  const named = new Map<string, string>();
  for (const { 'node-name': name, drv, file } of nodes) {
    if (drv === 'qcow2' && file !== undefined && name?.startsWith(NODE_PREFIX)) named.set(file, name);
  }
  return named;
}

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
  const drives = await qmp.execute('query-block');
  const disks: Disk[] = [];
  for (const { name, file, format } of options) {
    const drive = drives.find(({ qdev }) => qdev?.includes(`/${deviceOf(name)}/`));
    const found = await nodesBelow(qmp, drive?.inserted?.['node-name']);
    const [top, ...below] = found.map(({ path }) => layerOr(folder, path));
    const base = below.indexOf(file);
    if (top === undefined || base < 0)
      throw new VitrineError('guest-state-invalid', { disk: name, files: found.map(({ path }) => path) });
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
    const nodes = found.map((node) => node.name).filter((node) => node.startsWith(NODE_PREFIX));
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

interface FoundNode {
  readonly name: string;
  readonly path: string;
}

/**
 * Nodes of a disk with their files, its top first. The names of files that QEMU tells of nodes whose backing was chosen are JSON,
 * and cut off where they are long; those of the files' own nodes are plain.
 */
async function nodesBelow(qmp: Qmp, top: string | undefined): Promise<FoundNode[]> {
  const { nodes, edges } = await qmp.execute('x-debug-query-block-graph');
  const told = await qmp.execute('query-named-block-nodes', { flat: true });
  const paths = new Map(
    told.flatMap((node) => (node.drv === 'file' ? [[node['node-name'], node.file]] : [])),
  );
  const names = new Map(nodes.map(({ id, name }) => [id, name]));
  const childOf = (parent: number, edge: string): number | undefined =>
    edges.find((one) => one.parent === parent && one.name === edge)?.child;
  const found: FoundNode[] = [];
  let id = nodes.find(({ name }) => name === top)?.id;
  while (id !== undefined) {
    // A raw base has its file below it, as a layer has.
    const path = paths.get(names.get(childOf(id, 'file') ?? id));
    if (path === undefined) break;
    found.push({ name: names.get(id) ?? '', path });
    id = childOf(id, 'backing');
  }
  return found;
}

/** A layer by its name, any other file by its path. */
function layerOr(folder: string, path: string): string {
  return path.startsWith(`${folder}/`) ? basename(path) : path;
}

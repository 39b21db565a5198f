// `vitrine gc --store` without a bridge: layers of disks that no snapshot names go, those that one names stay.

import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type FrozenFile, LayerFolder } from '../../../src/host/qemu/disk-layers.ts';
import { encodeDiskRecord } from '../../../src/host/qemu/disk-record.ts';
import { openFsStore } from '../../../src/store/fs-store.ts';
import { adoptFlat, openTestEngine } from '../../support/engine.ts';
import { runCommand } from './shell.ts';

const DISK_BYTES = 1 << 20;

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-collect-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('removes layers of deleted snapshots alone', async () => {
  const place = join(folder, 'store');
  const engine = await openTestEngine(await openFsStore(place));
  const { guest, machine } = await adoptFlat(engine, 'writer', 2);
  const base = join(folder, 'base.raw');
  await writeFile(base, Buffer.alloc(DISK_BYTES));
  const environment = {
    VITRINE_RUN_DIR: join(folder, 'run'),
    VITRINE_MACHINES_DIR: join(folder, 'machines'),
  };
  const collect = async () => {
    const { code, out, error } = await runCommand(['gc', '--store', place, '--json'], environment);
    expect(code, error).toBe(0);
    return JSON.parse(out);
  };
  // A store whose machines never had a disk.
  expect(await collect()).toMatchObject({ layersRemoved: 0, layersMerged: 0 });

  await mkdir(join(folder, 'store.disks'));
  const layers = new LayerFolder(join(folder, 'store.disks'));
  const lowest = await layers.lookAt({ path: base, format: 'raw' });
  const kept: { id: string; path: string }[] = [];
  for (let count = 0; count < 3; count++) {
    const chain: FrozenFile[] = [lowest];
    const layer = await layers.addLayer('data', DISK_BYTES, chain);
    chain.unshift(await layers.freeze(layer));
    guest.saveDevices = () => [encodeDiskRecord({ name: 'data', sizeBytes: DISK_BYTES, chain })];
    const { snapshot } = await machine.save();
    kept.push({ id: snapshot.id, path: layer.path });
  }
  expect(await collect()).toMatchObject({ layersRemoved: 0 });
  const [gone, ...others] = kept;
  await engine.delete([gone!.id]);
  expect(await collect()).toMatchObject({ layersRemoved: 1 });
  expect((await readdir(layers.path)).sort()).toEqual(others.map(({ path }) => path).sort());
  await engine.delete(others.map(({ id }) => id));
  expect(await collect()).toMatchObject({ layersRemoved: 2 });
  expect(await readdir(layers.path)).toEqual([]);
  await engine.close();
});

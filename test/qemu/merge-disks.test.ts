// Layers over years, in a minute: written by QEMU's own tools, named by snapshots that come and go, merged and collected. What each
// snapshot that is left names reads byte for byte as it did.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { Recordings } from '../../src/bridge/recordings.ts';
import { collectDisks } from '../../src/host/qemu/collect-disks.ts';
import { type ActiveLayer, type FrozenFile, LayerFolder } from '../../src/host/qemu/disk-layers.ts';
import { decodeDiskRecord, encodeDiskRecord } from '../../src/host/qemu/disk-record.ts';
import { layersOf } from '../../src/host/qemu/layers-of.ts';
import { MERGED_FROM, mergeDisks } from '../../src/host/qemu/merge-disks.ts';
import { tidyDisks } from '../../src/host/qemu/tidy-disks.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { Random } from '../../src/testing/random.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { seedOfRun } from '../support/seed.ts';
import { QEMUS } from './pulse-machine.ts';

const DISK_BYTES = 4 * MIB + 512 * 3;
const { image } = QEMUS[0]!;

let folder: string;
let layers: LayerFolder;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-merge-'));
  layers = new LayerFolder(folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function run(program: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  expect(status, `${args.join(' ')}: ${stderr}`).toBe(0);
  return stdout;
}

/** A chain as QEMU is told of it, whatever the headers of its files say. */
function nodeOf([top, ...below]: readonly FrozenFile[]): object {
  const file = { driver: 'file', filename: layers.fileOf(top!) };
  return { driver: top!.format, file, ...(below.length === 0 ? {} : { backing: nodeOf(below) }) };
}

/** All that a disk reads. */
async function contentOf(chain: readonly FrozenFile[]): Promise<Buffer> {
  const raw = join(folder, 'content');
  run(image, ['convert', '-O', 'raw', `json:${JSON.stringify(nodeOf(chain))}`, raw]);
  const bytes = await readFile(raw);
  await rm(raw);
  return bytes;
}

/** Writes here and there, and makes some of it zero, as a guest does that discards. */
function scribble(layer: ActiveLayer, chain: readonly FrozenFile[], random: Random): void {
  const top = {
    driver: 'qcow2',
    file: { driver: 'file', filename: layers.fileOf(layer) },
    backing: nodeOf(chain),
  };
  const commands: string[] = [];
  for (let i = 0; i < 3; i++) {
    const at = 512 * random.below(DISK_BYTES / 512 - 400);
    commands.push('-c', `write -P ${random.below(256)} ${at} ${512 * (1 + random.below(300))}`);
  }
  commands.push('-c', `write -z -u ${65536 * random.below(60)} 65536`);
  run(image.replace(/qemu-img$/, 'qemu-io'), [...commands, `json:${JSON.stringify(top)}`]);
}

describe('layers that snapshots no longer name', () => {
  it('become few, and the snapshots that are left read as they did', async () => {
    const random = new Random(seedOfRun());
    const engine = await openTestEngine();
    const { guest, machine } = await adoptFlat(engine, 'writer', 2);
    const base = join(folder, 'base.raw');
    await writeFile(base, Buffer.alloc(MIB, 7));
    await truncate(base, DISK_BYTES);
    let chain: FrozenFile[] = [await layers.lookAt({ path: base, format: 'raw' })];
    const saved: { id: string; content: Buffer; chain: readonly FrozenFile[] }[] = [];
    guest.saveDevices = () => [encodeDiskRecord({ name: 'data', sizeBytes: DISK_BYTES, chain })];
    const save = async (): Promise<void> => {
      const layer = await layers.addLayer('data', DISK_BYTES, chain);
      scribble(layer, chain, random);
      chain = [await layers.freeze(layer), ...chain];
      const { snapshot } = await machine.save();
      saved.push({ id: snapshot.id, content: await contentOf(chain), chain });
    };
    const check = async (): Promise<void> => {
      for (const { content, chain } of saved) {
        const files = await layers.resolve(chain);
        await layers.check(files);
        expect((await contentOf(files)).equals(content)).toBe(true);
        for (const file of files.slice(0, -1)) run(image, ['check', layers.fileOf(file)]);
      }
    };
    const forget = async (isKept: (index: number) => boolean): Promise<void> => {
      const gone = saved.filter((_, index) => !isKept(index));
      await engine.delete(gone.map(({ id }) => id));
      saved.splice(0, saved.length, ...saved.filter((_, index) => isKept(index)));
    };

    for (let count = 0; count < 40; count++) await save();
    // Nothing is in the way while all of it is named.
    expect(await mergeDisks(engine, folder)).toBe(0);
    expect(await collectDisks(engine, folder)).toEqual([]);
    await forget((index) => index === 19 || index === 39);
    expect(await mergeDisks(engine, folder)).toBe(2);
    expect(await mergeDisks(engine, folder)).toBe(0);
    await check();
    expect(await collectDisks(engine, folder)).toHaveLength(40);
    await check();
    expect((await layers.resolve(saved[1]!.chain)).length).toBe(3);
    expect((await readdir(folder)).filter((name) => name.endsWith('.qcow2'))).toHaveLength(2);

    // Years go on: what was merged is merged again, and what stood for what is gone goes.
    chain = await layers.resolve(chain);
    for (let count = 0; count < MERGED_FROM; count++) await save();
    await forget((index) => index === saved.length - 1 || index === 1);
    await mergeDisks(engine, folder);
    await collectDisks(engine, folder);
    await check();
    expect((await layers.resolve(saved.at(-1)!.chain)).length).toBeLessThan(5);
    await forget(() => false);
    await collectDisks(engine, folder);
    expect(await readdir(folder)).toEqual(['base.raw']);
    expect(existsSync(base)).toBe(true);
    await engine.close();
  });

  it('keep a recent past within its budget', async () => {
    const random = new Random(seedOfRun());
    const store = openMemoryStore();
    const engine = await openTestEngine(store);
    const { guest, machine } = await adoptFlat(engine, 'writer', 2);
    const base = join(folder, 'base.raw');
    await writeFile(base, Buffer.alloc(DISK_BYTES));
    let chain: FrozenFile[] = [await layers.lookAt({ path: base, format: 'raw' })];
    guest.saveDevices = () => [encodeDiskRecord({ name: 'data', sizeBytes: DISK_BYTES, chain })];
    // Seen from an hour later all points are old, so that any may be thinned out.
    const laterMs = Date.now() + 3_600_000;
    const recordings = new Recordings({
      ...{ engine, store, machine: () => ({ name: 'writer', state: 'running', machine }) },
      collectDisks: () => tidyDisks(engine, folder),
      layersOf: (snapshot) => layersOf(engine, folder, snapshot),
      clock: { nowMs: () => laterMs, wallMs: () => laterMs },
      wait: () => () => {},
    });
    // Three disks full: what is written at each point is a tenth of one, here and there.
    const budgetBytes = 3 * DISK_BYTES;
    const recording = await recordings.start('writer', { everyMs: 1_000, budgetBytes });
    const contents = new Map<string, Buffer>();
    let writtenBytes = 0;
    for (let count = 0; count < 60; count++) {
      chain = await layers.resolve(chain);
      const layer = await layers.addLayer('data', DISK_BYTES, chain);
      scribble(layer, chain, random);
      const frozen = await layers.freeze(layer);
      writtenBytes += frozen.bytes;
      chain = [frozen, ...chain];
      const content = await contentOf(chain);
      expect(await recording.epoch()).toBe(true);
      contents.set(machine.base!, content);
      expect(recording.bytes).toBeLessThanOrEqual(budgetBytes);
    }
    // The oldest point has a disk, and what was dropped since the last collection is there still.
    let usedBytes = 0;
    for (const name of (await readdir(folder)).filter((one) => one.endsWith('.qcow2')))
      usedBytes += (await stat(join(folder, name))).size;
    expect(writtenBytes).toBeGreaterThan(2 * budgetBytes);
    expect(usedBytes).toBeLessThan(1.25 * budgetBytes + 2 * DISK_BYTES);
    const points = await recording.points();
    expect(points.length).toBeGreaterThan(5);
    for (const { snapshot } of points) {
      const [record] = await engine.devices(snapshot);
      const named = await layers.resolve(decodeDiskRecord(record!).chain);
      await layers.check(named);
      expect((await contentOf(named)).equals(contents.get(snapshot)!)).toBe(true);
    }
    await recordings.close();
    await engine.close();
  });

  it('stay, all of them, while one snapshot cannot be read', async () => {
    const engine = await openTestEngine();
    const { guest, machine } = await adoptFlat(engine, 'writer', 2);
    const base = join(folder, 'base.raw');
    await writeFile(base, Buffer.alloc(DISK_BYTES));
    const chain = [await layers.lookAt({ path: base, format: 'raw' })];
    const layer = await layers.addLayer('data', DISK_BYTES, chain);
    await layers.freeze(layer);
    guest.saveDevices = () => [{ name: 'disk.data', version: 99, bytes: new Uint8Array(1) }];
    const { snapshot } = await machine.save();
    await expect(collectDisks(engine, folder)).rejects.toMatchObject({ data: { snapshot: snapshot.id } });
    await expect(mergeDisks(engine, folder)).rejects.toMatchObject({ data: { snapshot: snapshot.id } });
    expect(existsSync(layers.fileOf(layer))).toBe(true);
    await engine.delete([snapshot.id]);
    expect(await collectDisks(engine, folder)).toEqual([layer.path]);
    await engine.close();
  });
});

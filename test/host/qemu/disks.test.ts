// Disks without QEMU: what a record may say, what files are taken for, which layers are collected.

import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VitrineError } from '../../../src/base/error.ts';
import type { DeviceRecord } from '../../../src/guest/guest.ts';
import { isLayerOf, LayerFolder } from '../../../src/host/qemu/disk-layers.ts';
import { decodeDiskRecord, encodeDiskRecord } from '../../../src/host/qemu/disk-record.ts';
import { type Disks, openDisks } from '../../../src/host/qemu/disks.ts';
import { overlayImage } from '../../../src/host/qemu/overlay-image.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';

let folder: string;
let base: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-layers-'));
  base = join(folder, 'base.raw');
  await writeFile(base, new Uint8Array(1024));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const FILE = { path: '/disks/base.raw', format: 'raw', bytes: 1024, modified: '17' } as const;
const LAYER = { path: 'data-0123456789abcdef.qcow2', format: 'qcow2', bytes: 9, modified: '18' } as const;

describe('the record of a disk', () => {
  it('comes back as it was', () => {
    const disk = { name: 'data', sizeBytes: 1024, chain: [LAYER, FILE] };
    expect(decodeDiskRecord(encodeDiskRecord(disk))).toEqual(disk);
  });

  it.each([
    ['no JSON', '{'],
    ['null', 'null'],
    ['no chain', { sizeBytes: 512 }],
    ['an empty chain', { sizeBytes: 512, chain: [] }],
    ['too long a chain', { sizeBytes: 512, chain: Array(513).fill(FILE) }],
    ['half a sector', { sizeBytes: 700, chain: [FILE] }],
    ['a path out of the folder', { sizeBytes: 512, chain: [{ ...LAYER, path: '../../etc/passwd' }] }],
    ['a path with a zero', { sizeBytes: 512, chain: [{ ...FILE, path: '/a\0b' }] }],
    ['another format', { sizeBytes: 512, chain: [{ ...FILE, format: 'vmdk' }] }],
    ['a length below zero', { sizeBytes: 512, chain: [{ ...FILE, bytes: -1 }] }],
    ['a time that is none', { sizeBytes: 512, chain: [{ ...FILE, modified: 'now' }] }],
    ['a file that is none', { sizeBytes: 512, chain: [null] }],
  ])('with %s is refused', async (_, content) => {
    expect(await codeOf(() => decodeDiskRecord(recordOf(content)))).toBe('guest-state-invalid');
  });
});

describe('disks', () => {
  const open = (): Promise<Disks> => openDisks([{ name: 'data', file: base, format: 'raw' }], folder);

  it('take a snapshot of their own base alone, whatever it names', async () => {
    const disks = await open();
    const layers = new LayerFolder(folder);
    const own = await layers.lookAt({ path: base, format: 'raw' });
    const read = (chain: readonly unknown[], sizeBytes = 1024) =>
      codeOf(() => disks.read([recordOf({ sizeBytes, chain })]));
    expect(await read([own])).toBe('none');
    // A file of this host that a guest has no business with.
    const secret = join(folder, 'secret');
    await writeFile(secret, new Uint8Array(1024));
    const other = await layers.lookAt({ path: secret, format: 'raw' });
    expect(await read([other])).toBe('guest-state-invalid');
    expect(await read([other, own])).toBe('guest-state-invalid');
    expect(await read([{ ...LAYER, path: 'secret' }, own])).toBe('guest-state-invalid');
    expect(await read([own], 2048)).toBe('guest-state-invalid');
    expect(await read([LAYER, own])).toBe('disk-missing');
    expect(await read([{ ...own, modified: '1' }])).toBe('disk-changed');
    expect(await codeOf(() => disks.read([]))).toBe('guest-state-invalid');
    await disks.close();
    expect((await readdir(folder)).sort()).toEqual(['base.raw', 'secret']);
  });

  it('refuse names and files that cannot be', async () => {
    const code = (name: string, file: string, format: 'raw' | 'qcow2' = 'raw') =>
      codeOf(() => openDisks([{ name, file, format }], folder));
    expect(await code('Data', base)).toBe('argument-invalid');
    expect(await code('data', 'base.raw')).toBe('argument-invalid');
    expect(await code('data', join(folder, 'none'))).toBe('disk-missing');
    expect(await code('data', base, 'qcow2')).toBe('argument-invalid');
    const twice = { name: 'data', file: base, format: 'raw' } as const;
    expect(await codeOf(() => openDisks([twice, twice], folder))).toBe('argument-invalid');
    expect(await readdir(folder)).toEqual(['base.raw']);
  });

  it('that nobody owns any more are collected with their notes; those in use stay', async () => {
    const disks = await open();
    const layers = new LayerFolder(folder);
    const dead = await layers.addLayer('data', 1024, [await layers.lookAt({ path: base, format: 'raw' })]);
    const note = join(folder, `${dead.path}.owner`);
    await writeFile(
      note,
      JSON.stringify({ owner: { pid: process.pid, startedAt: '1' }, layers: [dead.path] }),
    );
    const damaged = async (): Promise<never> => {
      throw new VitrineError('object-damaged');
    };
    expect(await codeOf(() => layers.collect(damaged))).toBe('object-damaged');
    expect(existsSync(note)).toBe(true);
    const named = await layers.lookAt({ path: dead.path, format: 'qcow2' });
    expect(await layers.collect(async () => [[named]])).toEqual([]);
    expect(await layers.collect(async () => [])).toEqual([dead.path]);
    expect(existsSync(note)).toBe(false);
    expect(await readdir(folder)).toHaveLength(3);
    await disks.close();
    expect(await readdir(folder)).toEqual(['base.raw']);
  });
});

describe('a layer', () => {
  it('is known by its name', () => {
    expect(isLayerOf('data', LAYER.path)).toBe(true);
    for (const path of ['data.qcow2', 'data-0123456789abcdef.raw', `../${LAYER.path}`, `x-${LAYER.path}`]) {
      expect(isLayerOf('data', path), path).toBe(false);
    }
  });

  it('has the size of its disk, and whole sectors', async () => {
    const image = overlayImage(3 * 2 ** 40, FILE);
    expect(new DataView(image.buffer).getBigUint64(24)).toBe(BigInt(3 * 2 ** 40));
    expect(await codeOf(() => overlayImage(513, FILE))).toBe('argument-invalid');
    expect(await codeOf(() => overlayImage(512, { ...FILE, path: 'x'.repeat(1024) }))).toBe(
      'argument-invalid',
    );
  });
});

function recordOf(content: unknown): DeviceRecord {
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  return { name: 'disk.data', version: 1, bytes: new TextEncoder().encode(text) };
}

// Files among QEMU's arguments by their whole paths, and what only looks like a file left alone.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nameFiles } from '../../../src/host/cli/name-files.ts';

let folder: string;
let before: string;

beforeAll(async () => {
  before = process.cwd();
  folder = await mkdtemp(join(tmpdir(), 'vitrine-names-'));
  await Promise.all(
    ['vmlinuz', 'disk.img', 'q35', 'of, a.img'].map((name) => writeFile(join(folder, name), '')),
  );
  await mkdir(join(folder, 'user'));
  process.chdir(folder);
  folder = process.cwd();
});
afterAll(async () => {
  process.chdir(before);
  await rm(folder, { recursive: true, force: true });
});

it.each([
  [
    ['-kernel', 'vmlinuz'],
    ['-kernel', '{}/vmlinuz'],
  ],
  [
    ['--drive', 'file=disk.img,if=virtio'],
    ['--drive', 'file={}/disk.img,if=virtio'],
  ],
  [
    ['-drive', 'file=of,, a.img,if=virtio,,'],
    ['-drive', 'file={}/of,, a.img,if=virtio,,'],
  ],
  [
    ['-netdev', 'user,id=n,tftp=user'],
    ['-netdev', 'user,id=n,tftp={}/user'],
  ],
])('names %j in full', (given, wanted) => {
  expect(nameFiles(given)).toEqual(wanted.map((one) => one.replace('{}', folder)));
});

it.each([
  [['-nic', 'user']],
  [['-machine', 'q35']],
  [['-append', 'vmlinuz root=disk.img']],
  [['-kernel', 'elsewhere']],
  [['-S', 'vmlinuz']],
  [['-nic', 'user,model=virtio', 'user']],
])('leaves %j', (given) => {
  expect(nameFiles(given)).toEqual(given);
});

// `vitrine export` and `import` between stores on disk: whole files, and nothing of those that are not.

import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openFsStore } from '../../../src/store/fs-store.ts';
import { adoptFlat, openTestEngine } from '../../support/engine.ts';
import { runCommand } from './shell.ts';

let folder = '';
let snapshot = '';
const place = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-bundle-'));
  for (const name of ['here', 'there']) await mkdir(place(name));
  const engine = await openTestEngine(await openFsStore(place('here')));
  const { guest, machine } = await adoptFlat(engine, 'alpha', 64);
  guest.run(300);
  snapshot = (await machine.save({ label: 'booted' })).snapshot.id;
  await engine.close();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const vitrine = (...args: string[]) => runCommand(args, { VITRINE_RUN_DIR: place('run') });
const logOf = async (store: string): Promise<{ id: string; label: string }[]> =>
  JSON.parse((await vitrine('log', '--store', place(store), '--json')).out).snapshots;

it('brings a snapshot from one store to another', async () => {
  const file = place('booted.vitrine');
  const out = await vitrine('export', snapshot.slice(0, 10), '-o', file, '--store', place('here'));
  expect(out).toMatchObject({ code: 0, out: `${file}\n` });
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const taken = await vitrine('import', file, '--store', place('there'));
  expect(taken).toMatchObject({ code: 0, out: `${snapshot}\n` });
  expect(taken.error).toContain('alpha, “booted”');
  expect(await logOf('there')).toMatchObject([{ id: snapshot, label: 'booted' }]);
  expect((await vitrine('verify', snapshot, '--store', place('there'))).code).toBe(0);
  const again = await vitrine('import', file, '--store', place('there'), '--json');
  expect(JSON.parse(again.out)).toMatchObject({ snapshot, wasThere: true, bytesSent: 0 });
});

it('looks into a bundle where it lies, and changes nothing there', async () => {
  const file = place('looked-into.vitrine');
  await vitrine('export', snapshot, '-o', file, '--store', place('here'));
  const before = await readFile(file);
  const at = ['--store', file];
  expect(JSON.parse((await vitrine('log', ...at, '--json')).out).snapshots).toMatchObject([{ id: snapshot }]);
  const told = async (store: string) => (await vitrine('peek', 'booted', '0', '4096', '--store', store)).out;
  expect(await told(file)).toBe(await told(place('here')));
  expect(await vitrine('verify', '--all', ...at)).toMatchObject({
    code: 0,
    out: expect.stringContaining('whole'),
  });
  expect((await vitrine('diff', 'booted', snapshot, ...at)).out).toMatch(/^ram +0 /m);
  const raw = place('memory.raw');
  expect((await vitrine('export', 'booted', '--format', 'raw', '-o', raw, ...at)).code).toBe(0);
  for (const args of [['rm', snapshot], ['gc'], ['restore', 'alpha', snapshot], ['ls']]) {
    const { code, error } = await vitrine(...args, ...at);
    expect({ args, code, error }).toEqual({
      args,
      code: 1,
      error: expect.stringMatching(/^vitrine: unsupported: /m),
    });
    expect(error).toContain('"vitrine import FILE" brings it into a store.');
  }
  expect(await readFile(file)).toEqual(before);
  await truncate(file, before.length - 5);
  expect(await vitrine('log', ...at)).toMatchObject({
    code: 4,
    error: expect.stringContaining('format-truncated'),
  });
  await writeFile(file, 'anything else');
  expect((await vitrine('show', snapshot, ...at)).error).toContain('format-');
  await rm(file);
  expect((await vitrine('log', ...at)).code).toBe(3);
});

it('replaces no file unless told to, and leaves none that is not whole', async () => {
  const file = place('mine.vitrine');
  await writeFile(file, 'mine');
  const args = ['-o', file, '--store', place('here')];
  const refused = await vitrine('export', snapshot, ...args);
  expect(refused).toMatchObject({ code: 1, error: expect.stringContaining('--force') });
  expect(await readFile(file, 'utf8')).toBe('mine');
  const lengthOf = async (effort: string): Promise<number> => {
    expect((await vitrine('export', snapshot, ...args, '--force', '--effort', effort)).code).toBe(0);
    return (await readFile(file)).length;
  };
  expect(await lengthOf('small')).toBeLessThan(await lengthOf('none'));
  expect((await readFile(file)).length).toBeGreaterThan(100);
  expect((await vitrine('export', 'feed', '-o', place('none.vitrine'), '--store', place('here'))).code).toBe(
    3,
  );
  expect((await vitrine('export', snapshot, ...args, '--effort', 'huge')).code).toBe(2);
  const strays = (await readdir(folder)).filter((name) => /\.part$|^none/.test(name));
  expect(strays).toEqual([]);
});

it('takes no file that was cut off, damaged, or is something else', async () => {
  await mkdir(place('empty'));
  const whole = place('whole.vitrine');
  await vitrine('export', snapshot, '-o', whole, '--store', place('here'));
  const file = place('broken.vitrine');
  const bytes = await readFile(whole);
  const refused = async () => await vitrine('import', file, '--store', place('empty'));

  await writeFile(file, bytes);
  await truncate(file, bytes.length - 5);
  expect(await refused()).toMatchObject({ code: 4, error: expect.stringContaining('format-truncated') });
  bytes[bytes.length >> 1]! ^= 4;
  await writeFile(file, bytes);
  expect(await refused()).toMatchObject({ code: 4, error: expect.stringContaining('format-checksum') });
  await writeFile(file, '{"not": "a bundle, whatever its name is"}');
  expect(await refused()).toMatchObject({ code: 1, error: expect.stringContaining('format-magic') });
  await rm(file);
  expect((await refused()).code).not.toBe(0);
  expect(await logOf('empty')).toEqual([]);
});

it('writes memory alone for other tools, with each byte where its address says', async () => {
  const store = ['--store', place('here')];
  for (const format of ['raw', 'lime', 'elf']) {
    const out = await vitrine(
      'export',
      snapshot,
      '--format',
      format,
      '-o',
      place(format),
      ...store,
      '--json',
    );
    expect(out.code, out.error).toBe(0);
    expect(JSON.parse(out.out)).toMatchObject({
      snapshot,
      format,
      sizeBytes: (await stat(place(format))).size,
    });
  }
  const raw = await readFile(place('raw'));
  expect((await readFile(place('lime'))).subarray(32).equals(raw)).toBe(true);
  expect((await readFile(place('elf'))).subarray(-raw.length).equals(raw)).toBe(true);
  await vitrine('peek', snapshot, '0', String(raw.length), '-o', place('peeked'), ...store);
  expect((await readFile(place('peeked'))).equals(raw)).toBe(true);
  expect(new Set(raw).size).toBeGreaterThan(1);
  expect((await vitrine('export', snapshot, '--format', 'zip', ...store)).code).toBe(2);
});

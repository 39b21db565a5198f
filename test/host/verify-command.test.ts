// `vitrine verify` over a store on disk: whole, damaged, absent, and by replay.

import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../../src/host/cli/run-cli.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';

let folder = '';
let id = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-verify-'));
  const store = await openFsStore(folder);
  const engine = await openTestEngine(store);
  const { guest, machine } = await adoptFlat(engine, 'one', 32);
  guest.run(20_000);
  id = (await machine.save()).snapshot.id;
  await store.close();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function verify(...args: string[]): Promise<{ code: number; out: string; error: string }> {
  const printed = { out: '', error: '' };
  const code = await runCli(['verify', ...args], {
    out: (text) => {
      printed.out += text;
    },
    error: (text) => {
      printed.error += text;
    },
  });
  return { code, ...printed };
}

/** The largest file: a pack. */
async function damageAPack(): Promise<void> {
  const names = await readdir(folder, { recursive: true });
  const files = await Promise.all(
    names.map(async (name) => ({ path: join(folder, name), info: await stat(join(folder, name)) })),
  );
  const [{ path }] = files.filter(({ info }) => info.isFile()).sort((a, b) => b.info.size - a.info.size) as [
    (typeof files)[0],
  ];
  const bytes = await readFile(path);
  bytes.fill(0x5a, 2000, 2100);
  await writeFile(path, bytes);
}

describe('vitrine verify', () => {
  it('proves what is whole, by replay too', async () => {
    const all = await verify('--store', folder, '--all', '--replay', '--steps', '5000');
    expect(all).toMatchObject({ code: 0, error: '' });
    expect(all.out).toContain('whole; 5000 steps run twice alike');
    const json = await verify('--store', folder, id.slice(0, 8), '--json');
    expect(json.code).toBe(0);
    expect(JSON.parse(json.out)).toMatchObject({ snapshots: [{ snapshot: id, damaged: [] }] });
  });

  it('tells damage by its exit code', async () => {
    await damageAPack();
    const found = await verify('--store', folder, '--all');
    expect(found.code).toBe(4);
    expect(found.out).toContain('damaged');
  });

  it('tells what is not there, and what it does not understand', async () => {
    expect((await verify('--store', folder, 'ffff')).code).toBe(3);
    expect((await verify('--store', join(folder, 'absent'), '--all')).code).toBe(3);
    expect((await verify('--all', '--replay')).code).toBe(2);
    expect((await verify('--store', folder)).code).toBe(2);
  });
});

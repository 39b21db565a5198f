// The file store keeps the contract of stores on a real directory, and gives way to what a directory brings with it.

import { mkdtemp, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { NODE_PROCESSES } from '../../src/store/fs-node.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import type { Store } from '../../src/store/store.ts';
import { storeContract } from '../../src/testing/store-contract.ts';
import { seedOfRun } from '../support/seed.ts';

const root = await mkdtemp(join(tmpdir(), 'vitrine-fs-'));
afterAll(() => rm(root, { recursive: true, force: true }));

let directoryCount = 0;
const newDirectory = (): string => join(root, String(directoryCount++), 'store');

const openSubject = async () => {
  const directory = newDirectory();
  const opened: Store[] = [];
  const open = async () => {
    const store = await openFsStore(directory, { maxObjectBytes: 4 * MIB });
    opened.push(store);
    return store;
  };
  const destroy = async () => {
    for (const store of opened) await store.close();
    await rm(directory, { recursive: true });
  };
  return { store: await open(), reopen: open, destroy };
};

storeContract('fs', openSubject, { describe, expect, it }, { seed: seedOfRun() });

const one = Uint8Array.of(1);

describe('fs store', () => {
  it('keeps objects as files for their owner alone, and no other files', async () => {
    const directory = newDirectory();
    const store = await openFsStore(`${directory}/`);
    await store.put('packs/3f', one);
    await store.compareAndSwap('refs/head', null, one);
    expect((await readdir(directory, { recursive: true })).sort()).toEqual([
      'packs',
      'packs/3f=',
      'refs',
      'refs/head=',
    ]);
    expect((await stat(join(directory, 'packs/3f='))).mode & 0o777).toBe(0o600);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  it('removes what dead writers left, when it is old', async () => {
    const directory = newDirectory();
    await (await openFsStore(directory)).put('packs/3f', one);
    const [old, young] = [join(directory, 'packs/~tmp-old'), join(directory, 'packs/~tmp-young')];
    await writeFile(old, one);
    await writeFile(young, one);
    await symlink('x', join(directory, '~next-x'));
    await utimes(old, 0, 0);
    await openFsStore(directory);
    expect((await readdir(join(directory, 'packs'))).sort()).toEqual(['3f=', '~tmp-young']);
    await openFsStore(directory, { clock: { wallMs: () => Date.now() + 25 * 3600 * 1000 } });
    expect((await readdir(directory, { recursive: true })).sort()).toEqual(['packs', 'packs/3f=']);
  });

  it('passes over files that are not its own', async () => {
    const directory = newDirectory();
    const store = await openFsStore(directory);
    await store.put('packs/3f', one);
    await writeFile(join(directory, 'README.txt'), 'mine');
    await writeFile(join(directory, 'packs', '.DS_Store'), 'mine');
    await writeFile(join(directory, 'index'), 'a file where a directory could be');
    expect(await store.list('')).toEqual(['packs/3f']);
    expect(await store.get('index/3f')).toBe(undefined);
    await store.delete(['index/3f']);
    await expect(store.put('index/3f', one)).rejects.toMatchObject({ code: 'store-io' });
  });

  it('does not follow a link in the place of an object', async () => {
    const directory = newDirectory();
    const store = await openFsStore(directory);
    await store.put('packs/3f', one);
    await symlink('/etc/hostname', join(directory, 'packs/link='));
    await expect(store.get('packs/link')).rejects.toMatchObject({
      code: 'store-io',
      data: { reason: 'ELOOP' },
    });
  });

  it('says store-io for what cannot be a directory', async () => {
    const file = join(root, 'file');
    await writeFile(file, 'x');
    await expect(openFsStore(join(file, 'store'))).rejects.toMatchObject({ code: 'store-io' });
    await expect(openFsStore(file)).rejects.toMatchObject({ code: 'store-io' });
  });
});

describe('fs store lock', () => {
  it('takes over from holders that are gone, along the whole chain', async () => {
    const directory = newDirectory();
    const store = await openFsStore(directory);
    // No process has such a number; the second is of another boot, the third has our number and another start.
    const [place, boot, , start] = NODE_PROCESSES.nameSelf().split('.');
    const names = [
      `${place}.${boot}.999999999.1.aa`,
      `${place}.00000000.${process.pid}.${start}.bb`,
      `${place}.${boot}.${process.pid}.1.cc`,
      'left by something else',
    ];
    await symlink(names[0]!, join(directory, '~lock'));
    for (let i = 1; i < names.length; i++) await symlink(names[i]!, join(directory, `~next-${names[i - 1]}`));
    await store.compareAndSwap('refs/head', null, one);
    expect((await readdir(directory)).sort()).toEqual(['refs']);
  });

  it('waits for a holder that lives, or may', async () => {
    const directory = newDirectory();
    const store = await openFsStore(directory, { lockTimeoutMs: 20 });
    const link = join(directory, '~lock');
    for (const holder of [NODE_PROCESSES.nameSelf(), 'elsewhere.boot.1.1.aa']) {
      await symlink(holder, link);
      const swap = store.compareAndSwap('refs/head', null, one);
      await expect(swap).rejects.toMatchObject({ code: 'store-io', data: { reason: 'locked', holder } });
      await rm(link);
    }
    expect(await store.get('refs/head')).toBe(undefined);
    await store.compareAndSwap('refs/head', null, one);
  });

  it('lets one of many that find it left behind take it', async () => {
    for (let round = 0; round < 4; round++) {
      const directory = newDirectory();
      const stores = await Promise.all(Array.from({ length: 8 }, () => openFsStore(directory)));
      await symlink('dead', join(directory, '~lock'));
      await symlink('dead too', join(directory, '~next-dead'));
      const outcomes = await Promise.allSettled(
        stores.map((store, i) => store.compareAndSwap('refs/head', null, Uint8Array.of(i))),
      );
      expect(outcomes.filter((outcome) => outcome.status === 'fulfilled').length).toBe(1);
      expect((await readdir(directory)).sort()).toEqual(['refs']);
    }
  });
});

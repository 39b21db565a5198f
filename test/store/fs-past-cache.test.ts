// Large objects go past the page cache where the file system has that, through it elsewhere, and are the same either way.

import { constants } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { sharedAlignedBytes } from '../../src/base/aligned-bytes.ts';
import { MIB } from '../../src/base/limits.ts';
import type { FileSystem, OpenFile } from '../../src/store/fs-files.ts';
import { NODE_FILES } from '../../src/store/fs-node.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { Random } from '../../src/testing/random.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

/** Whether the file system is as tmpfs before Linux 6.6: the file is made, and cannot be written so. */
const tmpfs = vi.hoisted(() => ({ isOld: false, refusals: 0 }));
vi.mock(import('node:fs/promises'), async (original) => {
  const there = await original();
  const open: typeof there.open = async (path, flags, mode) => {
    const file = await there.open(path, flags, mode);
    if (!tmpfs.isOld || typeof flags !== 'number' || (flags & constants.O_DIRECT) === 0) return file;
    await file.close();
    tmpfs.refusals++;
    throw Object.assign(new Error('refused'), { code: 'EINVAL' });
  };
  return { ...there, open };
});

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vitrine-past-cache-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Lengths about the borders of blocks, and of what is written at a time. */
const LENGTHS = [MIB - 1, MIB, MIB + 1, MIB + 4095, MIB + 4096, 4 * MIB, 4 * MIB + 1, 9 * MIB + 17];

async function putAll(files: FileSystem): Promise<void> {
  const store = await openFsStore(directory, { files });
  const random = new Random(seedOfRun());
  for (const lengthBytes of LENGTHS) {
    const bytes = random.bytes(lengthBytes);
    await store.put(`packs/${lengthBytes}`, bytes);
    expectSame((await store.get(`packs/${lengthBytes}`))!, bytes);
    // What is on the disk is no longer than that either.
    expectSame(await readFile(join(directory, `packs/${lengthBytes}=`)), bytes);
  }
  expect(await readdir(join(directory, 'packs'))).toHaveLength(LENGTHS.length);
  await store.close();
}

/** Tells of each such file, whose writes go through `write`. */
function seen(
  opened: string[],
  write: (file: OpenFile, bytes: Uint8Array, at: number) => Promise<number>,
): FileSystem {
  return {
    ...NODE_FILES,
    async createPastCache(path) {
      const file = await NODE_FILES.createPastCache?.(path);
      if (file === undefined) return undefined;
      opened.push(path);
      return {
        sizeBytes: () => file.sizeBytes(),
        read: (into, at) => file.read(into, at),
        write: (bytes, at) => write(file, bytes, at),
        sync: () => file.sync(),
        close: () => file.close(),
      };
    },
  };
}

describe('objects written past the page cache', () => {
  it('are what was put, of any length, and small ones are not among them', async () => {
    const opened: string[] = [];
    await putAll(seen(opened, (file, bytes, at) => file.write(bytes, at)));
    // Where temporary files lie in memory there may be none at all.
    if (opened.length > 0) expect(opened).toHaveLength(LENGTHS.filter((length) => length >= MIB).length);
  });

  it('go through the cache where the file system has no such files', async () => {
    await putAll({ ...NODE_FILES, createPastCache: async () => undefined });
  });

  it('go through the cache where the file system makes the file before it says that it has none', async () => {
    Object.assign(tmpfs, { isOld: true, refusals: 0 });
    try {
      await putAll(NODE_FILES);
    } finally {
      tmpfs.isOld = false;
    }
    expect(tmpfs.refusals).toBe(LENGTHS.filter((length) => length >= MIB).length);
  });

  it('go through the cache where that shows at the first write only', async () => {
    const refuse = () => Promise.reject(Object.assign(new Error('refused'), { code: 'EINVAL' }));
    await putAll(seen([], refuse));
  });

  it('are written from where they lie where that is at a page, and copied where it is not', async () => {
    const written: Uint8Array[] = [];
    const files = seen([], (file, bytes, at) => {
      written.push(bytes);
      return file.write(bytes, at);
    });
    let throughCache = 0;
    const create: FileSystem['create'] = (path) => {
      throughCache++;
      return files.create(path);
    };
    const store = await openFsStore(directory, { files: { ...files, create } });
    const memory = sharedAlignedBytes(4 * MIB);
    const content = new Random(seedOfRun()).bytes(memory.length);
    memory.set(content);
    for (const [start, end] of [
      [0, 4 * MIB],
      [4096, 2 * MIB + 17],
      [1, MIB + 1],
    ] as const) {
      await store.put(`packs/${start}`, memory.subarray(start, end));
      expectSame(memory, content);
      expectSame(await readFile(join(directory, `packs/${start}=`)), content.subarray(start, end));
    }
    await store.close();
    // Blocks and the rest of one, each in a write; where temporary files lie in memory there may be no such files at all.
    if (written.length > 0) {
      const lengths = written.map(({ length }) => length);
      expect(lengths).toEqual([4 * MIB, 2 * MIB + 17 - 4096, 17, MIB]);
      // None was refused.
      expect(throughCache).toBe(0);
    }
  });
});

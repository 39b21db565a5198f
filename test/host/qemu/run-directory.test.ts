// Run directories: what dead owners left is ended and removed, what is in use is not touched.

import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, lstat, mkdir, mkdtemp, readdir, rm, statfs, symlink, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { filesIn } from '../../../src/host/qemu/profile.ts';
import {
  collectRunDirectories,
  isAlive,
  type MachineNote,
  makeRunDirectory,
  nameOf,
  openRunRoot,
  readNote,
  writeNote,
} from '../../../src/host/qemu/run-directory.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';

/** A process that has ended: its id may be another's by now, its start is not. */
const GONE = { pid: process.pid, startedAt: '1' };

/** A machine that goes on without its owner. */
const KEPT = { home: '/store', profile: {}, ram: 'file', disks: null } as const;

let parent: string;
let root: string;
const children: ChildProcess[] = [];
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'vitrine-run-'));
  root = join(parent, 'machines');
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(parent, { recursive: true, force: true });
});

async function sleeper() {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  children.push(child);
  await new Promise((resolve) => child.once('spawn', resolve));
  return { child, name: await nameOf(child.pid!) };
}

/** A run directory with that note. */
async function left(note: Omit<MachineNote, 'name'>): Promise<string> {
  const files = await makeRunDirectory('left', root);
  await writeNote(files, { name: 'left', ...note });
  return files.directory;
}

describe('run directories', () => {
  it('are collected while others make and remove theirs', async () => {
    await mkdir(root, { mode: 0o700 });
    let isDone = false;
    const others = async (): Promise<void> => {
      for (let round = 0; round < 200; round++)
        await rm(await mkdtemp(join(root, 'other-')), { recursive: true });
      isDone = true;
    };
    const collect = async (): Promise<void> => {
      while (!isDone) expect(await collectRunDirectories(root)).toEqual([]);
    };
    await Promise.all([others(), collect(), collect()]);
  });

  it('are ours alone', async () => {
    const files = await makeRunDirectory('first', root);
    expect((await lstat(root)).mode & 0o777).toBe(0o700);
    expect((await lstat(files.directory)).mode & 0o777).toBe(0o700);
    expect(await readNote(files)).toEqual({
      name: 'first',
      owner: await nameOf(process.pid),
      qemu: null,
      kept: null,
      attached: null,
    });
  });

  it('are not made where others may look, or another may have put a link', async () => {
    await mkdir(root, { mode: 0o700 });
    await chmod(root, 0o750);
    expect(await codeOf(() => openRunRoot(root))).toBe('argument-invalid');
    const link = join(parent, 'link');
    await symlink(parent, link);
    expect(await codeOf(() => openRunRoot(link))).toBe('argument-invalid');
  });

  it('whose sockets would have too long a name are refused, and leave nothing', async () => {
    const deep = join(root, 'x'.repeat(90));
    await mkdir(root, { mode: 0o700 });
    expect(await codeOf(() => makeRunDirectory('first', deep))).toBe('argument-invalid');
    expect(await readdir(deep)).toEqual([]);
  });

  it('are made only where there is room for RAM, and leave nothing where there is none', async () => {
    const { bavail, bsize } = await statfs(parent);
    const error = await makeRunDirectory('large', root, 4 * bavail * bsize).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'memory-exhausted', data: { path: root } });
    expect(await readdir(root)).toEqual([]);
    // Without a place that was named, the other usual one would do, if it had that room.
    expect(await codeOf(() => makeRunDirectory('large', undefined, 2 ** 52))).toBe('memory-exhausted');
    await makeRunDirectory('small', root, 4096);
  });

  it('of living owners stay', async () => {
    const mine = await makeRunDirectory('mine', root);
    const { name } = await sleeper();
    const directory = await left({ owner: await nameOf(process.pid), qemu: name, kept: null });
    expect(await collectRunDirectories(root)).toEqual([]);
    expect((await readdir(root)).map((entry) => join(root, entry)).sort()).toEqual(
      [mine.directory, directory].sort(),
    );
    expect(await isAlive(name)).toBe(true);
  });

  it('of dead owners go, and their machines with them', async () => {
    const { child, name } = await sleeper();
    const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
    const directory = await left({ owner: GONE, qemu: name, kept: null });
    expect(await collectRunDirectories(root)).toEqual([directory]);
    expect(await ended).toBe('SIGKILL');
    expect(await readdir(root)).toEqual([]);
  });

  it('of machines that outlive their owners stay while they run', async () => {
    const { child, name } = await sleeper();
    const directory = await left({ owner: GONE, qemu: name, kept: KEPT });
    expect(await collectRunDirectories(root)).toEqual([]);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    expect(await collectRunDirectories(root)).toEqual([directory]);
  });

  it('never end a process that only has the id of a machine that is gone', async () => {
    const { child, name } = await sleeper();
    await left({ owner: GONE, qemu: { pid: name.pid, startedAt: '2' }, kept: null });
    expect(await collectRunDirectories(root)).toHaveLength(1);
    expect(child.exitCode).toBe(null);
    expect(await isAlive(name)).toBe(true);
  });

  it('without a note stay for a minute, since one may be being made', async () => {
    await openRunRoot(root);
    const directory = join(root, 'half');
    await mkdir(directory);
    expect(await readNote(filesIn(directory))).toBe(undefined);
    expect(await collectRunDirectories(root)).toEqual([]);
    const hourAgo = new Date(Date.now() - 3_600_000);
    await utimes(directory, hourAgo, hourAgo);
    expect(await collectRunDirectories(root)).toEqual([directory]);
  });
});

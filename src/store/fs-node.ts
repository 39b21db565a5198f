// The file operations and the process table of Node: with fs-store.ts the only file of this folder that runs in
// Node alone. POSIX file systems are meant: Windows neither syncs directories nor lets everyone make links.

import { createHash, randomBytes } from 'node:crypto';
import { constants, readFileSync, readlinkSync } from 'node:fs';
import {
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  rename,
  symlink,
  unlink,
} from 'node:fs/promises';
import { hostname } from 'node:os';
import type { FileSystem, OpenFile } from './fs-files.ts';
import type { Processes } from './fs-lock.ts';
import { createPastCache } from './fs-past-cache.ts';

/** The file system of this machine. */
export const NODE_FILES: FileSystem = {
  create: async (path) => openFile(await open(path, 'wx', 0o600)),
  createPastCache,
  open: async (path) => openFile(await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)),
  rename,
  unlink,
  symlink: (text, path) => symlink(text, path),
  readlink: (path) => readlink(path),
  makeDirectory: (path) => mkdir(path, 0o700),
  readDirectory: async (path) =>
    (await readdir(path, { withFileTypes: true })).map((entry) => ({
      name: entry.name,
      isDirectory: entry.isDirectory(),
    })),
  async syncDirectory(path) {
    const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  modifiedMs: async (path) => (await lstat(path)).mtimeMs,
};

function openFile(handle: FileHandle): OpenFile {
  return {
    sizeBytes: async () => (await handle.stat()).size,
    read: async (into, offsetBytes) => (await handle.read(into, 0, into.length, offsetBytes)).bytesRead,
    write: async (bytes, offsetBytes) =>
      (await handle.write(bytes, 0, bytes.length, offsetBytes)).bytesWritten,
    sync: () => handle.sync(),
    close: () => handle.close(),
  };
}

/**
 * The processes of this machine. A name is `place.boot.pid.start.once`, 59 characters at most, which file systems
 * keep in the link's own inode: host and process namespace, boot, process id, its start, and 64 random bits.
 */
export const NODE_PROCESSES: Processes = {
  nameSelf() {
    return [...placeAndBoot(), process.pid, startOf(process.pid) ?? '0', randomBytes(8).toString('hex')].join(
      '.',
    );
  },
  isGone(name) {
    const [place, boot] = placeAndBoot();
    const [itsPlace, itsBoot, itsPid, itsStart] = name.split('.');
    const pid = Number(itsPid);
    // Whoever left such a text is no process of ours, and nobody waits for it.
    if (itsStart === undefined || !Number.isSafeInteger(pid) || pid <= 0) return true;
    // Another host or container: its processes cannot be seen from here, and it may well be alive.
    if (itsPlace !== place) return false;
    if (itsBoot !== boot) return true;
    if (!isRunning(pid)) return true;
    const start = startOf(pid);
    return start !== undefined && start !== itsStart;
  },
};

function placeAndBoot(): [place: string, boot: string] {
  const namespace = orEmpty(() => readlinkSync('/proc/self/ns/pid'));
  const boot = orEmpty(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1'));
  return [shortDigest(`${hostname()} ${namespace}`), shortDigest(boot)];
}

/** When a process started, in clock ticks since boot: tells it from a later one with its number. Linux only. */
function startOf(pid: number): string | undefined {
  const stat = orEmpty(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  // The second field is the program's name in brackets and may hold anything; the start is the 22nd.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, under another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function orEmpty(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

function shortDigest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

// Where running machines keep their files: one directory a machine, mode 0700, under one directory a user, on memory
// (`/dev/shm`) where there is some, since a machine's RAM is a file there.
//
// Each directory holds a note of who owns it. A machine whose owner is gone is ended and its files are removed by the next
// owner that starts: so nothing stays behind even where a process was killed and could not clean up. Kept machines are the
// exception: they run on, and `kept-machine.ts` finds them. A process id alone says little, since it may be another's by
// now; with the time at which it started it is unique on this boot.

import { constants } from 'node:fs';
import {
  access,
  lstat,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import { makeFolder } from '../make-folder.ts';
import type { DiskOptions } from './disks.ts';
import { filesIn, type MachineFiles, type QemuProfile } from './profile.ts';

/** Where files are memory. */
const MEMORY_FILES = '/dev/shm';
/** What `statfs` says of file systems that lie in memory. */
const TMPFS = 0x0102_1994;
/** The kernel takes socket paths of 107 bytes. */
const MAX_SOCKET_PATH_BYTES = 107;

/** A process that cannot be mistaken for a later one of the same id. */
export interface ProcessName {
  readonly pid: number;
  /** Clock ticks from boot to its start. */
  readonly startedAt: string;
}

/** What stands in `machine.json`. */
export interface MachineNote {
  readonly name: string;
  /** Who started it; null before QEMU runs. */
  readonly owner: ProcessName;
  readonly qemu: ProcessName | null;
  /** For a machine that goes on when its owner is gone, and is left alone as long as it runs; null for others. */
  readonly kept: KeptNote | null;
  /** For one of others that its owner attached; it is brought to rest or let go on when that one is gone. */
  readonly attached?: AttachedNote | null;
}

/** What whoever finds a machine of others has to know. */
export interface AttachedNote {
  /** Where its monitor listens, and which file that is: a QEMU that is started anew makes another one. */
  readonly socket: string;
  readonly socketFile: string;
  /** A capability of its migrations, as it was. */
  readonly ignoredShared: boolean;
}

/** What the next owner of a machine has to know. */
export interface KeptNote {
  /** Whose it is, whatever process that is at the time: a bridge's store. Nobody else takes it. */
  readonly home: string;
  readonly profile: QemuProfile;
  /** As in `QemuGuestOptions`. */
  readonly ram: 'file' | 'private';
  readonly disks: { readonly folder: string; readonly files: readonly DiskOptions[] } | null;
  /** The process whose place it takes, and which is ended then: while that is there, it is the machine. */
  readonly inPlaceOf?: ProcessName;
}

/** The owner of a machine that was left: nobody. */
export const NOBODY: ProcessName = { pid: 0, startedAt: 'left' };

/**
 * The directory of all machines of this user: in memory where there is room for `ramBytes` more, else among temporary files.
 *
 * Throws `argument-invalid` for a directory that others could look into, `memory-exhausted` when there is no room.
 */
export async function openRunRoot(root?: string, ramBytes = 0): Promise<string> {
  return openRoot(root ?? (await usualRootFor(ramBytes)), ramBytes);
}

async function openRoot(path: string, ramBytes: number): Promise<string> {
  await makeFolder(path);
  const { uid, mode } = await lstat(path).then((stat) => {
    if (!stat.isDirectory()) throw refusal(path, 'it is no directory');
    return stat;
  });
  if (uid !== process.getuid?.()) throw refusal(path, `it belongs to user ${uid}`);
  if ((mode & 0o077) !== 0) throw refusal(path, 'others may look into it; its mode must be 0700');
  // Memory files take their room when the machine first writes there, and where there is none by then it is killed.
  const freeBytes = await freeBytesIn(path);
  if (freeBytes < ramBytes) throw new VitrineError('memory-exhausted', { path, ramBytes, freeBytes });
  return path;
}

/**
 * A new directory for a machine with `ramBytes` of RAM in it, after what dead owners left was removed. Throws as
 * `openRunRoot`.
 */
export async function makeRunDirectory(name: string, root?: string, ramBytes = 0): Promise<MachineFiles> {
  // Before room is looked for: what was left may hold it.
  for (const one of await rootsThere(root)) await collectRunDirectories(one);
  const path = await openRunRoot(root, ramBytes);
  const files = filesIn(await mkdtemp(join(path, `${name}-`)));
  if (Buffer.byteLength(files.serial) > MAX_SOCKET_PATH_BYTES) {
    await rm(files.directory, { recursive: true, force: true });
    throw new VitrineError('argument-invalid', {
      name: 'root',
      reason: `paths of sockets end at ${MAX_SOCKET_PATH_BYTES} bytes`,
      path: files.serial,
    });
  }
  await writeNote(files, { name, owner: await nameOf(process.pid), qemu: null, kept: null });
  return files;
}

/** The places where machines of this user may have their directories, of those that are there and ours alone. */
export async function rootsThere(root?: string): Promise<string[]> {
  const found: string[] = [];
  for (const one of root === undefined ? usualRoots() : [root]) {
    // One that others may look into is not looked into, and does not matter unless it is the one to be used.
    const isOurs = (await isDirectory(one)) && (await openRoot(one, 0).catch(() => undefined)) !== undefined;
    if (isOurs) found.push(one);
  }
  return found;
}

/** What becomes free in memory files when a machine's directory goes: its RAM, where that lies there. */
export async function memoryFilesOf(files: MachineFiles): Promise<number> {
  if (!(await isMemory(files.directory))) return 0;
  // One that stands on an image of others has no file of its own.
  const found = await stat(files.ram).catch(() => undefined);
  return (found?.blocks ?? 0) * 512;
}

/** Throws `unsupported` where files at `path` are not memory: there RAM cannot come as it is touched. */
export async function inMemoryFiles(path: string): Promise<void> {
  if (await isMemory(path)) return;
  const missing = `memory files: a machine's RAM has to be in ${MEMORY_FILES} or another tmpfs for this`;
  throw new VitrineError('unsupported', { missing, path });
}

/** Removes a directory that no process uses. */
export async function discardRunDirectory({ directory }: MachineFiles): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}

export async function writeNote(files: MachineFiles, note: MachineNote): Promise<void> {
  // Whoever reads it sees the old one or the new one.
  const next = `${files.note}.next`;
  await writeFile(next, JSON.stringify(note), { mode: 0o600 });
  await rename(next, files.note);
}

/** Ends machines whose owners are gone and removes their files; `onGone` hears of their names. Returns the directories removed. */
export async function collectRunDirectories(
  root: string,
  onGone: (name: string) => void = () => {},
): Promise<string[]> {
  const removed: string[] = [];
  for (const entry of await readdir(root, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const files = filesIn(join(root, entry.name));
    const note = await readNote(files);
    // Without a note it is being made at this moment, or its maker died in between: a minute decides.
    if (note === undefined ? !(await isOld(files.directory)) : await isInUse(note)) continue;
    if (note?.qemu) await endProcess(note.qemu);
    await rm(files.directory, { recursive: true, force: true });
    removed.push(files.directory);
    if (note !== undefined) onGone(note.name);
  }
  return removed;
}

/** Undefined where there is none, or none that can be read. */
export async function readNote(files: MachineFiles): Promise<MachineNote | undefined> {
  try {
    const note = JSON.parse(await readFile(files.note, 'utf8')) as MachineNote;
    if (!isProcessName(note.owner) || (note.qemu !== null && !isProcessName(note.qemu))) return undefined;
    return {
      ...note,
      kept: isKept(note.kept) ? note.kept : null,
      attached: isAttached(note.attached) ? note.attached : null,
    };
  } catch {
    return undefined;
  }
}

/** The name of a running process. Throws `not-found` when there is none of that id. */
export async function nameOf(pid: number): Promise<ProcessName> {
  const startedAt = await startOf(pid);
  if (startedAt === undefined) throw new VitrineError('not-found', { pid });
  return { pid, startedAt };
}

/** Whether that very process still runs. */
export async function isAlive({ pid, startedAt }: ProcessName): Promise<boolean> {
  return (await startOf(pid)) === startedAt;
}

/** Ends that very process, if it still runs. */
export async function endProcess(name: ProcessName): Promise<void> {
  if (!(await isAlive(name))) return;
  try {
    process.kill(name.pid, 'SIGKILL');
  } catch {
    // It ended by itself in the meantime.
  }
}

async function isInUse(note: MachineNote): Promise<boolean> {
  if (await isAlive(note.owner)) return true;
  // It is to be let go on first (`left-machines.ts`).
  if (note.attached != null) return isAttachedThere(note.attached);
  return note.kept !== null && note.qemu !== null && (await isAlive(note.qemu));
}

/** Field 22 of `/proc/PID/stat`; a zombie counts as gone. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
    // The program's name, in parentheses, may hold anything: fields are counted from its end.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** Of a directory that its owner has removed in the meantime: no, there is nothing to do. */
async function isOld(directory: string): Promise<boolean> {
  try {
    const { mtimeMs } = await lstat(directory);
    return Date.now() - mtimeMs > 60_000;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw cause;
  }
}

/** The best one first. */
function usualRoots(): string[] {
  const name = `vitrine-${process.getuid?.() ?? 0}`;
  return [join(MEMORY_FILES, name), join(tmpdir(), name)];
}

async function usualRootFor(ramBytes: number): Promise<string> {
  const [inMemory, elsewhere] = usualRoots() as [string, string];
  try {
    await access(MEMORY_FILES, constants.W_OK | constants.X_OK);
    // Containers often have 64 MiB there.
    if ((await freeBytesIn(MEMORY_FILES)) >= ramBytes) return inMemory;
  } catch {
    // There is none on this system.
  }
  return elsewhere;
}

async function isMemory(path: string): Promise<boolean> {
  return (await statfs(path)).type === TMPFS;
}

async function freeBytesIn(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

async function isDirectory(path: string): Promise<boolean> {
  const stat = await lstat(path).catch(() => undefined);
  return stat?.isDirectory() === true;
}

function isProcessName(value: unknown): value is ProcessName {
  const name = value as Partial<ProcessName> | null;
  return typeof name?.pid === 'number' && typeof name.startedAt === 'string';
}

/** Another version's note may have another form: such a machine is not adopted. */
/** What tells a socket's file from a later one at its path. Undefined where there is none. */
export async function socketFileAt(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found?.isSocket() ? `${found.dev}:${found.ino}:${found.birthtimeNs}` : undefined;
}

/** Whether the machine of a note may be there still. */
export async function isAttachedThere({ socket, socketFile }: AttachedNote): Promise<boolean> {
  return (await socketFileAt(socket)) === socketFile;
}

function isAttached(value: unknown): value is AttachedNote {
  const attached = value as Partial<AttachedNote> | null | undefined;
  return (
    typeof attached?.socket === 'string' &&
    typeof attached.socketFile === 'string' &&
    typeof attached.ignoredShared === 'boolean'
  );
}

function isKept(value: unknown): value is KeptNote {
  const kept = value as Partial<KeptNote> | null | undefined;
  return (
    typeof kept?.home === 'string' &&
    typeof kept.profile === 'object' &&
    (kept.ram === 'file' || kept.ram === 'private') &&
    typeof kept.disks === 'object'
  );
}

function refusal(path: string, reason: string): VitrineError {
  return new VitrineError('argument-invalid', { name: 'root', path, reason });
}

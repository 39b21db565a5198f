// The file operations that the file store stands on, as an argument: tests let the n-th one fail, write short, or cut
// the power. Errors carry the platform's `code` (ENOENT, ENOSPC, EIO …); nothing here interprets them.

import type { OwnedBytes } from '../base/bytes.ts';
import { MIB } from '../base/limits.ts';

/** Operations on one file system; paths are absolute or relative to the process, with `/` between names. */
export interface FileSystem {
  /** Makes a file that only its owner may read; fails with EEXIST when there is one. */
  create(path: string): Promise<OpenFile>;
  /**
   * As `create`, for a file whose bytes go past the page cache and push nothing out of it; undefined where the file system has no
   * such files. Writing may fail with EINVAL where that shows late.
   */
  createPastCache?(path: string): Promise<OpenFile | undefined>;
  /** Opens a file to read it; does not follow a symbolic link in its last place. */
  open(path: string): Promise<OpenFile>;
  /** Puts `from` in the place of `to` in one step. */
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Makes a symbolic link, text and all, in one step; fails with EEXIST when there is something. */
  symlink(text: string, path: string): Promise<void>;
  readlink(path: string): Promise<string>;
  /** Makes a directory; fails with EEXIST when there is one, with ENOENT when its parent is missing. */
  makeDirectory(path: string): Promise<void>;
  readDirectory(path: string): Promise<DirectoryEntry[]>;
  /** When it resolves, the names in a directory survive a power cut. */
  syncDirectory(path: string): Promise<void>;
  /** When the entry itself, not what a link leads to, was last changed, in milliseconds since 1970. */
  modifiedMs(path: string): Promise<number>;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly isDirectory: boolean;
}

/** An open file. */
export interface OpenFile {
  sizeBytes(): Promise<number>;
  /** Reads up to all of `into` from an offset. Returns how many bytes it read: 0 at the end of the file. */
  read(into: OwnedBytes, offsetBytes: number): Promise<number>;
  /** Writes some of `bytes` at an offset. Returns how many. */
  write(bytes: Uint8Array, offsetBytes: number): Promise<number>;
  /** When it resolves, the bytes survive a power cut. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The platform's code of an error: `ENOENT` and so on, or its name. */
export function codeOfError(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

/** Objects from this length on go past the page cache: full packs, of which a large save writes thousands. */
const PAST_CACHE_BYTES = MIB;

/** Writes a whole file that did not exist, and has it on the medium when it resolves. */
export async function writeDurably(files: FileSystem, path: string, bytes: Uint8Array): Promise<void> {
  const past = bytes.length < PAST_CACHE_BYTES ? undefined : await files.createPastCache?.(path);
  if (past === undefined) return writeAndClose(await files.create(path), bytes);
  try {
    await writeAndClose(past, bytes);
  } catch (error) {
    if (codeOfError(error) !== 'EINVAL') throw error;
    await files.unlink(path);
    await writeAndClose(await files.create(path), bytes);
  }
}

async function writeAndClose(file: OpenFile, bytes: Uint8Array): Promise<void> {
  try {
    for (let at = 0; at < bytes.length; ) {
      const count = await file.write(bytes.subarray(at), at);
      if (count === 0) throw new Error(`nothing written at byte ${at} of ${bytes.length}`);
      at += count;
    }
    // A failed sync is not tried again: the kernel has dropped the bytes and would answer the next one with success.
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Fills `into` from an offset, or throws when the file ends before. */
export async function readFully(file: OpenFile, into: OwnedBytes, offsetBytes: number): Promise<void> {
  for (let at = 0; at < into.length; ) {
    const count = await file.read(into.subarray(at), offsetBytes + at);
    if (count === 0) throw new Error(`the file ends at byte ${offsetBytes + at}`);
    at += count;
  }
}

/** What `call` resolves with, or undefined when there is no such file. */
export async function orAbsent<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    const code = codeOfError(error);
    // ENOTDIR: one of the directories of the path is a file, which only somebody else can have made.
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** The directory that a path lies in. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  if (slash < 0) return '.';
  return slash === 0 ? '/' : path.slice(0, slash);
}

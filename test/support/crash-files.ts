// A file system in memory that fails by plan and loses its power, for what no real disk does on demand.
//
// What survives a power cut: of a file's bytes those synced last, or, where more was written since, a random prefix
// of the rest with random bytes for a tail; of a directory's names those synced last and a random choice of the
// changes since, in their order. A rename is one change, as on the file systems that keep a journal.
// Nothing here is stricter than POSIX and nothing is kinder.

import type { OwnedBytes } from '../../src/base/bytes.ts';
import type { FileSystem, OpenFile } from '../../src/store/fs-files.ts';
import type { Random } from '../../src/testing/random.ts';

interface FileNode {
  readonly kind: 'file';
  bytes: Uint8Array;
  synced: Uint8Array;
}
interface LinkNode {
  readonly kind: 'link';
  readonly text: string;
}
interface DirectoryNode {
  readonly kind: 'directory';
  names: Map<string, Node>;
  synced: Map<string, Node>;
  /** Changes since the last sync; undefined removes a name. */
  changes: [name: string, node: Node | undefined][][];
}
type Node = FileNode | LinkNode | DirectoryNode;

/** What happens at the operation of that number, counted from 0. */
export interface FilePlan {
  readonly at: number;
  /** An error code, or `cut`: this and all later operations fail, as they do for a process that has died. */
  readonly fault: 'EIO' | 'ENOSPC' | 'EDQUOT' | 'EMFILE' | 'EROFS' | 'cut';
}

/** A disk. `files()` opens it as one process does. */
export class CrashDisk {
  #root: DirectoryNode = newDirectory();

  /** The file operations of a process; writes are short now and then. */
  files(random: Random, plan?: FilePlan): { files: FileSystem; readonly count: () => number } {
    let count = 0;
    let isCut = false;
    const step = (name: string): void => {
      if (isCut) throw coded('EIO', `${name} after the cut`);
      if (plan === undefined || count++ !== plan.at) return;
      isCut = plan.fault === 'cut';
      throw coded(isCut ? 'EIO' : plan.fault, `${name}, operation ${plan.at}`);
    };
    return { files: this.#operations(step, random), count: () => count };
  }

  /** Loses everything that was not synced, but what chance keeps. Only `files()` of later work on it then. */
  cutPower(random: Random): void {
    this.#root = survivor(this.#root, random) as DirectoryNode;
  }

  #operations(step: (name: string) => void, random: Random): FileSystem {
    // Every operation is done in one go when its turn comes, and the turn of others may come before.
    const operation = async <T>(name: string, work: () => T): Promise<T> => {
      await Promise.resolve();
      step(name);
      return work();
    };
    const handle = (file: FileNode): OpenFile => ({
      sizeBytes: () => operation('size', () => file.bytes.length),
      read: (into, at) =>
        operation('read', () => {
          const part = file.bytes.subarray(at, at + shorter(into.length, random));
          into.set(part);
          return part.length;
        }),
      write: (bytes, at) =>
        operation('write', () => writeAt(file, bytes.subarray(0, shorter(bytes.length, random)), at)),
      sync: () =>
        operation('sync', () => {
          file.synced = file.bytes.slice();
        }),
      // Closing never fails here: whether it does says nothing of what was synced.
      close: async () => {},
    });
    return {
      create: (path) =>
        operation(`create ${path}`, () => {
          const file: FileNode = { kind: 'file', bytes: new Uint8Array(0), synced: new Uint8Array(0) };
          this.#add(path, file);
          return handle(file);
        }),
      open: (path) =>
        operation(`open ${path}`, () => {
          const node = this.#find(path);
          if (node.kind !== 'file') throw coded(node.kind === 'link' ? 'ELOOP' : 'EISDIR', path);
          return handle(node);
        }),
      rename: (from, to) =>
        operation(`rename ${from}`, () => {
          const node = this.#find(from);
          const [directory, name] = this.#place(from);
          const [target, newName] = this.#place(to);
          if (directory !== target) throw new Error('this disk renames inside a directory only');
          change(directory, [name, undefined], [newName, node]);
        }),
      unlink: (path) =>
        operation(`unlink ${path}`, () => {
          if (this.#find(path).kind === 'directory') throw coded('EISDIR', path);
          const [directory, name] = this.#place(path);
          change(directory, [name, undefined]);
        }),
      symlink: (text, path) => operation(`symlink ${path}`, () => this.#add(path, { kind: 'link', text })),
      readlink: (path) =>
        operation(`readlink ${path}`, () => {
          const node = this.#find(path);
          if (node.kind !== 'link') throw coded('EINVAL', path);
          return node.text;
        }),
      makeDirectory: (path) => operation(`mkdir ${path}`, () => this.#add(path, newDirectory())),
      readDirectory: (path) =>
        operation(`readdir ${path}`, () =>
          [...this.#directory(path).names].map(([name, node]) => ({
            name,
            isDirectory: node.kind === 'directory',
          })),
        ),
      syncDirectory: (path) =>
        operation(`sync ${path}`, () => {
          const directory = this.#directory(path);
          directory.synced = new Map(directory.names);
          directory.changes = [];
        }),
      modifiedMs: (path) =>
        operation(`stat ${path}`, () => {
          this.#find(path);
          return 0;
        }),
    };
  }

  #add(path: string, node: Node): void {
    const [directory, name] = this.#place(path);
    if (directory.names.has(name)) throw coded('EEXIST', path);
    change(directory, [name, node]);
  }

  #find(path: string): Node {
    if (path === '/') return this.#root;
    const [directory, name] = this.#place(path);
    const node = directory.names.get(name);
    if (node === undefined) throw coded('ENOENT', path);
    return node;
  }

  #directory(path: string): DirectoryNode {
    const node = this.#find(path);
    if (node.kind !== 'directory') throw coded('ENOTDIR', path);
    return node;
  }

  #place(path: string): [DirectoryNode, string] {
    const slash = path.lastIndexOf('/');
    return [this.#directory(slash === 0 ? '/' : path.slice(0, slash)), path.slice(slash + 1)];
  }
}

function newDirectory(): DirectoryNode {
  return { kind: 'directory', names: new Map(), synced: new Map(), changes: [] };
}

function change(directory: DirectoryNode, ...entries: [string, Node | undefined][]): void {
  directory.changes.push(entries);
  apply(directory.names, entries);
}

function apply(names: Map<string, Node>, entries: readonly [string, Node | undefined][]): void {
  for (const [name, node] of entries) {
    if (node === undefined) names.delete(name);
    else names.set(name, node);
  }
}

function writeAt(file: FileNode, bytes: Uint8Array, at: number): number {
  const grown = new Uint8Array(Math.max(file.bytes.length, at + bytes.length));
  grown.set(file.bytes);
  grown.set(bytes, at);
  file.bytes = grown;
  return bytes.length;
}

/** A length, or less one time in four, but never nothing. */
function shorter(length: number, random: Random): number {
  return random.chance(0.25) ? Math.max(Math.min(1, length), random.below(length + 1)) : length;
}

function survivor(node: Node, random: Random): Node {
  if (node.kind === 'link') return node;
  if (node.kind === 'file') {
    const bytes = surviving(node, random);
    return { kind: 'file', bytes, synced: bytes };
  }
  const names = new Map(node.synced);
  for (const entries of node.changes) if (random.chance(0.5)) apply(names, entries);
  for (const [name, child] of names) names.set(name, survivor(child, random));
  return { kind: 'directory', names, synced: new Map(names), changes: [] };
}

function surviving(file: FileNode, random: Random): Uint8Array {
  if (file.bytes === file.synced || file.bytes.length === file.synced.length) return file.synced;
  const bytes = file.bytes.slice(0, random.below(file.bytes.length + 1));
  for (let i = Math.max(file.synced.length, bytes.length - 8); i < bytes.length; i++) bytes[i] = random.u32();
  return bytes.length < file.synced.length ? file.synced : bytes;
}

function coded(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}

/** Bytes that tell by themselves whether they are whole: their own length and number, repeated. */
export function wholeObject(number: number): OwnedBytes {
  const length = 16 + ((number * 37) % 200);
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = i === 0 ? length : number + i;
  return bytes;
}

/** The number in an object, or undefined when the object is not whole. */
export function numberOf(bytes: Uint8Array): number | undefined {
  if (bytes.length === 0 || bytes[0] !== bytes.length) return undefined;
  const number = (bytes[1]! - 1) & 0xff;
  return bytes.every((byte, i) => i === 0 || byte === ((number + i) & 0xff)) ? number : undefined;
}

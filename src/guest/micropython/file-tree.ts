// The files of a session: Emscripten keeps them in JavaScript, outside the instance. Directories and regular files are
// saved; devices are the loader's own. A file that was open is closed in the restored session: Python gets an
// OSError when it uses it.
//
// In the record: how many entries, parents first and by name, and for each: kind (1: 0 directory, 1 file), path
// (length and UTF-8), content (length and bytes, none for directories).

import type { OwnedBytes } from '../../base/bytes.ts';
import type { RecordReader, RecordWriter } from '../wasm/record-bytes.ts';

/** What is used of Emscripten's file system. */
export interface EmscriptenFs {
  readdir(path: string): string[];
  stat(path: string): { readonly mode: number };
  isDir(mode: number): boolean;
  isFile(mode: number): boolean;
  readFile(path: string): Uint8Array;
  writeFile(path: string, bytes: Uint8Array): void;
  lookupPath(path: string): { readonly node: FsNode };
  rmdir(path: string): void;
  unlink(path: string): void;
  makedev(major: number, minor: number): number;
  registerDevice(device: number, operations: DeviceOperations): void;
  mkdev(path: string, mode: number, device: number): unknown;
}

/** What stands behind a file that is a device. */
export interface DeviceOperations {
  open(stream: { seekable?: boolean }): void;
  close(): void;
  /** Returns how many bytes it gave; 0 is the end. */
  read(stream: object, into: Int8Array, offset: number, length: number): number;
  write(stream: object, from: Int8Array, offset: number, length: number): number;
}

interface FsNode {
  readonly node_ops: { mknod(parent: FsNode, name: string, mode: number, device: number): FsNode };
}

const FILE_MODE = 0o100666;
const DIRECTORY_MODE = 0o040777;

/** Content is undefined for a directory. */
export type FileTree = ReadonlyMap<string, OwnedBytes | undefined>;

/** Made by the loader at each start. */
const LOADERS_OWN = ['/dev', '/proc'];

export function takeFileTree(fs: EmscriptenFs): FileTree {
  const tree = new Map<string, OwnedBytes | undefined>();
  const walk = (directory: string): void => {
    for (const name of fs.readdir(directory).sort()) {
      const path = `${directory === '/' ? '' : directory}/${name}`;
      if (name === '.' || name === '..' || LOADERS_OWN.includes(path)) continue;
      const { mode } = fs.stat(path);
      if (fs.isFile(mode)) tree.set(path, fs.readFile(path).slice() as OwnedBytes);
      if (!fs.isDir(mode)) continue;
      tree.set(path, undefined);
      walk(path);
    }
  };
  walk('/');
  return tree;
}

/** Makes the files those of `tree`. */
export function putFileTree(fs: EmscriptenFs, tree: FileTree): void {
  const present = takeFileTree(fs);
  for (const [path, content] of [...present].reverse()) {
    const keep = tree.has(path) && (tree.get(path) === undefined) === (content === undefined);
    if (keep) continue;
    if (content === undefined) fs.rmdir(path);
    else fs.unlink(path);
  }
  for (const [path, content] of tree) {
    const kept = present.has(path) && (present.get(path) === undefined) === (content === undefined);
    if (!kept) create(fs, path, content === undefined ? DIRECTORY_MODE : FILE_MODE);
    if (content !== undefined) fs.writeFile(path, content);
  }
}

/**
 * Makes an empty file or directory. Not with `mkdir` and `open`: they look for the name first, and a lookup that fails
 * calls into the program for its error text, which is paused.
 */
function create(fs: EmscriptenFs, path: string, mode: number): void {
  const slash = path.lastIndexOf('/');
  const { node } = fs.lookupPath(path.slice(0, slash) || '/');
  node.node_ops.mknod(node, path.slice(slash + 1), mode, 0);
}

export function writeFileTree(writer: RecordWriter, tree: FileTree): void {
  writer.u32(tree.size);
  for (const [path, content] of tree) {
    writer.u8(content === undefined ? 0 : 1);
    writer.bytes(new TextEncoder().encode(path));
    writer.bytes(content ?? new Uint8Array(0));
  }
}

/** Throws `guest-state-invalid`, also for a tree that no session can have. */
export function readFileTree(reader: RecordReader): FileTree {
  const tree = new Map<string, OwnedBytes | undefined>();
  for (let left = reader.u32(); left > 0; left--) {
    const kind = reader.u8();
    const path = new TextDecoder().decode(reader.bytes());
    const content = reader.bytes();
    reader.require(kind === 1 || (kind === 0 && content.length === 0), 'kind of entry');
    reader.require(isPath(path) && !tree.has(path), 'path');
    const parent = path.slice(0, path.lastIndexOf('/'));
    reader.require(parent === '' || (tree.has(parent) && tree.get(parent) === undefined), 'parent');
    tree.set(path, kind === 0 ? undefined : content);
  }
  return tree;
}

function isPath(path: string): boolean {
  const [root, ...names] = path.split('/');
  const proper = names.every((name) => name !== '' && name !== '.' && name !== '..' && !name.includes('\0'));
  return root === '' && proper && !LOADERS_OWN.includes(`/${names[0]}`);
}

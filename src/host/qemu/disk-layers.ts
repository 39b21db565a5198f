// The files that disks are made of: a base, which is the user's and never written, and layers over it in a folder of ours. One
// layer is active, which a machine writes; all below it are frozen, and snapshots name them.
//
//   NAME-0123456789abcdef.qcow2          a layer
//   NAME-0123456789abcdef.qcow2.owner    beside an active one: whose it is, its machine, and the chain that it stands on
//
// A file that was frozen is known again by its length and the time it was last written: to read disks whole at each restore
// would take minutes. So files are to be copied with their times.

import { randomBytes } from 'node:crypto';
import { open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import { type DiskFormat, diskBytesOf, overlayImage } from './overlay-image.ts';
import { isAlive, nameOf, type ProcessName } from './run-directory.ts';

/** A file below an active layer. */
export interface FrozenFile {
  /** Absolute for a base; for a layer its name in the folder. */
  readonly path: string;
  readonly format: DiskFormat;
  readonly bytes: number;
  /** When it was last written, in nanoseconds since 1970, in decimal. */
  readonly modified: string;
}

/** An active layer. */
export interface ActiveLayer {
  /** Its name in the folder. */
  readonly path: string;
  /** As long as it is while nothing was written. */
  readonly emptyBytes: number;
}

/** What stands beside an active layer. */
interface OwnerNote {
  readonly owner: ProcessName;
  /** The machine's process: it may outlive its owner. Absent before it is started. */
  readonly qemu?: ProcessName;
  /** Its own name, and those of all below it. */
  readonly layers: readonly string[];
  /** What lies below it, its top first, as it was when the layer was added. */
  readonly chain: readonly FrozenFile[];
}

const LAYER = /^[a-z0-9-]+-[0-9a-f]{16}\.qcow2$/;
/** A dash, 16 digits, the extension. */
const LAYER_TAIL_BYTES = 23;
const OWNER = '.owner';
const HEAD_BYTES = 64;

/** Whether a path is the name of one of a disk's layers, and leads nowhere else. */
export function isLayerOf(disk: string, path: string): boolean {
  return LAYER.test(path) && path.slice(0, -LAYER_TAIL_BYTES) === disk;
}

export class LayerFolder {
  readonly path: string;
  /** The machine that stands on the layers that are added; it is in their notes. */
  qemu: ProcessName | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** The file of a chain's entry. */
  fileOf({ path }: { readonly path: string }): string {
    return isAbsolute(path) ? path : join(this.path, path);
  }

  /** A new active layer over a chain, its top first. It is this process's. */
  async addLayer(disk: string, sizeBytes: number, chain: readonly FrozenFile[]): Promise<ActiveLayer> {
    const path = `${disk}-${randomBytes(8).toString('hex')}.qcow2`;
    const image = overlayImage(sizeBytes, chain[0]!);
    // The note first: a layer without one is anybody's to collect.
    await this.own({ path }, chain);
    await writeFile(join(this.path, path), image, { mode: 0o600, flag: 'wx' });
    return { path, emptyBytes: image.length };
  }

  /** A layer is active, for this process and its machine. */
  async own({ path }: { readonly path: string }, chain: readonly FrozenFile[]): Promise<void> {
    const layers = [path, ...chain.map((file) => file.path)];
    const { qemu } = this;
    const owner = await nameOf(process.pid);
    const note: OwnerNote = { owner, layers, chain, ...(qemu === undefined ? {} : { qemu }) };
    // Whoever reads it sees the old one or the new one.
    const next = join(this.path, `${path}${OWNER}.next`);
    await writeFile(next, JSON.stringify(note), { mode: 0o600 });
    await rename(next, join(this.path, path + OWNER));
  }

  /** Layers that notes name as active for a machine, each with the chain that it was added to. */
  async ownedBy(qemu: ProcessName): Promise<{ path: string; chain: readonly FrozenFile[] }[]> {
    const owned: { path: string; chain: readonly FrozenFile[] }[] = [];
    for (const path of (await readdir(this.path)).filter((name) => LAYER.test(name))) {
      const note = await this.#noteOf(path);
      const isIts = note?.qemu?.pid === qemu.pid && note.qemu.startedAt === qemu.startedAt;
      if (isIts) owned.push({ path, chain: note.chain });
    }
    return owned;
  }

  /** Whether an active layer holds anything. QEMU has flushed it. */
  async isWritten(layer: ActiveLayer): Promise<boolean> {
    return (await stat(this.fileOf(layer))).size !== layer.emptyBytes;
  }

  /** An active layer that nobody writes any more, as an entry of a chain. */
  async freeze(layer: ActiveLayer): Promise<FrozenFile> {
    const frozen = await this.lookAt({ path: layer.path, format: 'qcow2' });
    await this.disown(layer);
    return frozen;
  }

  /** A layer stops being active; another one's note names it where it is still needed. */
  async disown({ path }: { readonly path: string }): Promise<void> {
    await rm(join(this.path, path + OWNER), { force: true });
  }

  async removeLayer(layer: ActiveLayer): Promise<void> {
    await rm(this.fileOf(layer), { force: true });
    await this.disown(layer);
  }

  /** A file as it is now. Throws `disk-missing`. */
  async lookAt({ path, format }: Pick<FrozenFile, 'path' | 'format'>): Promise<FrozenFile> {
    try {
      const { size, mtimeNs } = await stat(this.fileOf({ path }), { bigint: true });
      return { path, format, bytes: Number(size), modified: String(mtimeNs) };
    } catch (cause) {
      throw new VitrineError('disk-missing', { file: this.fileOf({ path }) }, { cause });
    }
  }

  /** Throws `disk-missing` or `disk-changed` unless all files of a chain are as they were. */
  async check(chain: readonly FrozenFile[]): Promise<void> {
    for (const file of chain) {
      const now = await this.lookAt(file);
      if (now.bytes === file.bytes && now.modified === file.modified) continue;
      const { bytes, modified } = file;
      throw new VitrineError('disk-changed', {
        file: this.fileOf(file),
        bytes: now.bytes,
        bytesThen: bytes,
        modified: now.modified,
        modifiedThen: modified,
      });
    }
  }

  /** The size of the disk in a file. Throws `disk-missing`, `argument-invalid` for one that is not of that format. */
  async diskBytes(file: Pick<FrozenFile, 'path' | 'format'>): Promise<number> {
    const { bytes } = await this.lookAt(file);
    if (file.format === 'raw') return bytes;
    const handle = await open(this.fileOf(file));
    try {
      const head = new Uint8Array(HEAD_BYTES);
      await handle.read(head, 0, HEAD_BYTES, 0);
      const diskBytes = diskBytesOf(head);
      if (diskBytes === undefined) {
        throw new VitrineError('argument-invalid', { name: 'format', file: file.path, format: file.format });
      }
      return diskBytes;
    } finally {
      await handle.close();
    }
  }

  /**
   * Removes layers that are in none of the chains and that no running process stands on; says which. `chainsOf` is asked after
   * it was seen who stands on what: what is saved meanwhile is in one or the other. Where it throws, nothing is removed.
   */
  async collect(chainsOf: () => Promise<Iterable<readonly FrozenFile[]>>): Promise<string[]> {
    // Layers that are added meanwhile are not among the names.
    const names = (await readdir(this.path)).filter((name) => LAYER.test(name));
    const kept = new Set<string>();
    for (const name of names) {
      const note = await this.#noteOf(name);
      if (note !== undefined && (await isInUse(note))) for (const path of note.layers) kept.add(path);
    }
    for (const chain of await chainsOf()) for (const { path } of chain) kept.add(path);
    const removed = names.filter((name) => !kept.has(name));
    for (const path of removed) await this.removeLayer({ path, emptyBytes: 0 });
    return removed;
  }

  async #noteOf(name: string): Promise<OwnerNote | undefined> {
    try {
      return JSON.parse(await readFile(join(this.path, name + OWNER), 'utf8')) as OwnerNote;
    } catch {
      return undefined;
    }
  }
}

async function isInUse({ owner, qemu }: OwnerNote): Promise<boolean> {
  return (await isAlive(owner)) || (qemu !== undefined && (await isAlive(qemu)));
}

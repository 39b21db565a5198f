// The files that disks are made of: a base, which is the user's and never written, and layers over it in a folder of ours. One
// layer is active, which a machine writes; all below it are frozen, and snapshots name them.
//
//   NAME-0123456789abcdef.qcow2          a layer
//   NAME-0123456789abcdef.qcow2.owner    beside an active one: whose it is, its machine, and the chain that it stands on
//   NAME-0123456789abcdef.qcow2.merged   what is read in place of that layer and some below it (`merge-disks.ts`)
//
// A file that was frozen is known again by its length and the time it was last written: to read disks whole at each restore
// would take minutes. So files are to be copied with their times.

import { randomBytes } from 'node:crypto';
import { open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import { mergeLayers } from './merge-layers.ts';
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

/** What stands for a layer, and all below it, since rows of layers were merged. */
interface MergedNote {
  /** The layer; one of that name that was written since is another. */
  readonly top: FrozenFile;
  readonly by: FrozenFile;
  /** What lies below it, as it is named: it may be merged as well. */
  readonly below: readonly FrozenFile[];
}

const LAYER = /^[a-z0-9-]+-[0-9a-f]{16}\.qcow2$/;
/** A dash, 16 digits, the extension. */
const LAYER_TAIL_BYTES = 23;
const OWNER = '.owner';
const MERGED = '.merged';
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

  /** The files in which a chain is read now: where rows of its layers were merged, others than it names. */
  async resolve(chain: readonly FrozenFile[]): Promise<FrozenFile[]> {
    const [top, ...below] = chain;
    if (top === undefined) return [];
    const merged = await this.#mergedFor(top);
    if (merged === undefined) return [top, ...(await this.resolve(below))];
    return [merged.by, ...(await this.resolve(merged.below))];
  }

  /** Chains that machines stand on that run, or may at any time; each as it is named. */
  async chainsInUse(): Promise<(readonly FrozenFile[])[]> {
    const chains: (readonly FrozenFile[])[] = [];
    for (const name of (await readdir(this.path)).filter((one) => LAYER.test(one))) {
      const note = await this.#noteOf(name);
      if (note?.chain?.[0] === undefined || !(await isInUse(note))) continue;
      // Its uppermost file was still written when the note was made.
      const [top, ...below] = note.chain;
      chains.push([await this.lookAt(top), ...below]);
    }
    return chains;
  }

  /**
   * Makes one file of a row of layers, its uppermost first, which `below` lie under; it is read in place of `top` from now on.
   *
   * Throws `unsupported` for a layer that is not as QEMU makes ours, `store-full`; nothing has changed then.
   */
  async mergeRow(top: FrozenFile, row: readonly FrozenFile[], below: readonly FrozenFile[]): Promise<void> {
    const disk = top.path.slice(0, -LAYER_TAIL_BYTES);
    const path = `${disk}-${randomBytes(8).toString('hex')}.qcow2`;
    // Until a note names it, it is ours.
    await this.own({ path }, below);
    try {
      const files = row.map((file) => this.fileOf(file));
      const [behind] = await this.resolve(below);
      await mergeLayers(files, join(this.path, path), await this.diskBytes(top), behind!);
      const note: MergedNote = { top, by: await this.lookAt({ path, format: 'qcow2' }), below };
      const next = join(this.path, `${top.path}${MERGED}.next`);
      await writeFile(next, JSON.stringify(note), { mode: 0o600, flush: true });
      await rename(next, join(this.path, top.path + MERGED));
    } catch (error) {
      await rm(join(this.path, path), { force: true });
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      throw new VitrineError('store-full', { folder: this.path }, { cause: error });
    } finally {
      await this.disown({ path });
    }
  }

  /** The note that stands for a layer, if its file is there. */
  async #mergedFor(top: FrozenFile): Promise<MergedNote | undefined> {
    try {
      const text = await readFile(join(this.path, top.path + MERGED), 'utf8');
      const note = JSON.parse(text) as MergedNote;
      if (note.top.bytes !== top.bytes || note.top.modified !== top.modified) return undefined;
      await this.check([note.by]);
      return note;
    } catch {
      return undefined;
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
    const named = new Set<string>();
    for (const chain of await chainsOf()) {
      for (const { path } of chain) named.add(path);
      for (const { path } of await this.resolve(chain)) kept.add(path);
    }
    // What stands for layers of a machine is needed when it is saved.
    for (const chain of await this.chainsInUse()) {
      for (const { path } of chain) named.add(path);
      for (const { path } of await this.resolve(chain)) kept.add(path);
    }
    const removed = names.filter((name) => !kept.has(name));
    for (const path of removed) await this.removeLayer({ path, emptyBytes: 0 });
    for (const name of await readdir(this.path)) {
      const isOver = name.endsWith(MERGED) && !named.has(name.slice(0, -MERGED.length));
      if (isOver) await rm(join(this.path, name), { force: true });
    }
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

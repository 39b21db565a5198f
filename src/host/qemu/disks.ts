// The disks of a machine, saved with it: each is a base that is never written and layers over it, of which the machine writes the
// uppermost. A save freezes the layers that were written, all in one transaction and in the pause in which RAM is taken, so that
// what the guest believes of its disks is true when it goes on. A snapshot names the frozen files; it does not hold them.
//
// A restore puts a new, empty layer on the chain that the snapshot names, and swaps it in under the device: the guest sees no
// unplugging. What was written since is gone with the layer that held it, unless a snapshot names that.

import { randomBytes } from 'node:crypto';
import { isAbsolute } from 'node:path';
import { isVitrineError, VitrineError } from '../../base/error.ts';
import type { ConfigValue, DeviceRecord } from '../../guest/guest.ts';
import { type ActiveLayer, type FrozenFile, isLayerOf, LayerFolder } from './disk-layers.ts';
import { decodeDiskRecord, encodeDiskRecord, isDiskRecord } from './disk-record.ts';
import type { DiskFormat } from './overlay-image.ts';
import type { Qmp } from './qmp.ts';
import type { BlockNode } from './qmp-commands.ts';
import type { ProcessName } from './run-directory.ts';

export interface DiskOptions {
  /** Up to 16 letters, digits and dashes; the guest sees it as the disk's serial number. */
  readonly name: string;
  /** The base, an absolute path. It is never written, and may not be by others while snapshots stand on it. */
  readonly file: string;
  readonly format: DiskFormat;
}

/** A disk of a machine. */
export interface Disk {
  readonly name: string;
  readonly sizeBytes: number;
  /** The base it was opened with. */
  readonly base: string;
  /** Below the active layer, its top first. */
  chain: readonly FrozenFile[];
  active: ActiveLayer;
  /** Nodes that were added by name, the active layer's first: they are removed by name, in that order. */
  nodes: readonly string[];
}

/** Records that were read, and whose files are as they were. */
export type ReadDisks = readonly { readonly disk: string; readonly chain: readonly FrozenFile[] }[];

/** Disks that were swapped in: the old ones are there until `commit`, and are back after `putBack`. */
export interface DiskSwap {
  commit(): Promise<void>;
  putBack(): Promise<void>;
}

/** How nodes of layers are called. */
export const NODE_PREFIX = 'layer-';
const NAME = /^[a-z0-9][a-z0-9-]{0,15}$/;

/**
 * Makes an active layer for each disk, before their machine is started: `arguments` go to its command line.
 *
 * Throws `argument-invalid`, `disk-missing`.
 */
export async function openDisks(options: readonly DiskOptions[], folder: string): Promise<Disks> {
  const layers = new LayerFolder(folder);
  const disks: Disk[] = [];
  const opened = new Disks(layers, disks, options);
  try {
    for (const { name, file, format } of options) {
      if (!NAME.test(name) || disks.some((disk) => disk.name === name)) {
        throw new VitrineError('argument-invalid', { name: 'disk', value: name });
      }
      if (!isAbsolute(file)) throw new VitrineError('argument-invalid', { name: 'file', value: file });
      const base = await layers.lookAt({ path: file, format });
      const sizeBytes = await layers.diskBytes(base);
      const active = await layers.addLayer(name, sizeBytes, [base]);
      disks.push({ name, sizeBytes, base: file, chain: [base], active, nodes: [nodeOf(active)] });
    }
    return opened;
  } catch (error) {
    await opened.close();
    throw error;
  }
}

export class Disks {
  readonly #layers: LayerFolder;
  readonly #disks: readonly Disk[];
  readonly #files: readonly DiskOptions[];
  #qmp: Qmp | undefined;
  #isLeft = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(layers: LayerFolder, disks: readonly Disk[], files: readonly DiskOptions[]) {
    this.#layers = layers;
    this.#disks = disks;
    this.#files = files;
  }

  /** What they were opened with. */
  get options(): { readonly folder: string; readonly files: readonly DiskOptions[] } {
    return { folder: this.#layers.path, files: this.#files };
  }

  /** QEMU's arguments that attach the disks. */
  get arguments(): readonly string[] {
    return this.#disks.flatMap(({ name, chain, active }) => [
      '-blockdev',
      JSON.stringify(this.#nodeOver(active, chain)),
      '-device',
      `virtio-blk-pci,id=${deviceOf(name)},drive=${nodeOf(active)},serial=${name}`,
    ]);
  }

  /** What the disks add to a machine's description. */
  get config(): Readonly<Record<string, ConfigValue>> {
    return Object.fromEntries(this.#disks.map(({ name, sizeBytes }) => [`disk.${name}`, sizeBytes]));
  }

  /** Stands on what records say, before the machine is started. Throws as `read`. */
  async standOn(records: readonly DeviceRecord[]): Promise<void> {
    for (const { disk: name, chain } of await this.read(records)) {
      const disk = this.#disks.find((one) => one.name === name)!;
      const active = await this.#layers.addLayer(name, disk.sizeBytes, chain);
      await this.#layers.removeLayer(disk.active);
      Object.assign(disk, { chain, active, nodes: [nodeOf(active)] });
    }
  }

  /** The machine that was started with them, and its monitor: what it stands on is its own, whoever owns it. */
  async attach(qmp: Qmp, qemu: ProcessName): Promise<void> {
    this.#qmp = qmp;
    this.#layers.qemu = qemu;
    for (const { active, chain } of this.#disks) await this.#layers.own(active, chain);
  }

  /** The machine runs on without us: `close` leaves it what it stands on. */
  leave(): void {
    this.#isLeft = true;
  }

  /**
   * A record for each disk as it is now. The machine is stopped. Disks that were written since the last record get a new
   * layer; the others cost nothing.
   *
   * Throws `guest-failed` when QEMU refuses; then no disk was frozen.
   */
  save(): Promise<DeviceRecord[]> {
    return this.#alone(() => this.#save());
  }

  async #save(): Promise<DeviceRecord[]> {
    const qmp = this.#requireQmp();
    const written: { disk: Disk; next: ActiveLayer }[] = [];
    try {
      for (const disk of this.#disks) {
        if (!(await this.#layers.isWritten(disk.active))) continue;
        // What its note says of the layer below stands before that is frozen.
        const below = [await this.#layers.lookAt({ path: disk.active.path, format: 'qcow2' }), ...disk.chain];
        const next = await this.#layers.addLayer(disk.name, disk.sizeBytes, below);
        written.push({ disk, next });
        await qmp.execute('blockdev-add', {
          ...fileNode(nodeOf(next), this.#layers.fileOf(next)),
          backing: null,
        });
      }
      const actions = written.map(({ disk, next }) => ({
        type: 'blockdev-snapshot',
        data: { node: disk.nodes[0]!, overlay: nodeOf(next) },
      }));
      if (actions.length > 0) await qmp.execute('transaction', { actions });
    } catch (error) {
      for (const { next } of written) await this.#dropNew(next);
      throw error;
    }
    for (const { disk, next } of written) {
      disk.chain = [await this.#layers.freeze(disk.active), ...disk.chain];
      disk.active = next;
      disk.nodes = [nodeOf(next), ...disk.nodes];
    }
    return this.#disks.map(({ name, sizeBytes, chain }) => encodeDiskRecord({ name, sizeBytes, chain }));
  }

  /**
   * Reads the records of disks among others and looks at their files; nothing is changed.
   *
   * Throws `guest-state-invalid` for records of other disks, `disk-missing` and `disk-changed` with the file.
   */
  async read(records: readonly DeviceRecord[]): Promise<ReadDisks> {
    const told = records.filter(isDiskRecord).map(decodeDiskRecord);
    for (const { name } of this.#disks) {
      const count = told.filter((one) => one.name === name).length;
      if (count !== 1) throw new VitrineError('guest-state-invalid', { disk: name, records: count });
    }
    const read: { disk: string; chain: readonly FrozenFile[] }[] = [];
    for (const { name, sizeBytes, chain } of told) {
      const disk = this.#disks.find((one) => one.name === name);
      if (disk?.sizeBytes !== sizeBytes)
        throw new VitrineError('guest-state-invalid', { disk: name, sizeBytes });
      // A snapshot may come from anybody: it chooses among our layers, never which file of this host a guest gets to read.
      const base = chain.at(-1)!.path;
      if (base !== disk.base) {
        throw new VitrineError('guest-state-invalid', { disk: name, base, opened: disk.base });
      }
      if (!chain.slice(0, -1).every(({ path }) => isLayerOf(name, path))) {
        throw new VitrineError('guest-state-invalid', { disk: name, field: 'chain' });
      }
      read.push({ disk: name, chain: await this.#layers.resolve(chain) });
      await this.#layers.check(read.at(-1)!.chain);
    }
    return read;
  }

  /**
   * Swaps disks in, all or none. The machine is stopped.
   *
   * Throws `guest-failed` when QEMU refuses; the disks are as before then.
   */
  async swapIn(read: ReadDisks): Promise<DiskSwap> {
    let end = (): void => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const swapped = this.#alone(() => this.#swapIn(read));
    // Nothing else is done with the disks until it is settled.
    this.#turn = swapped.then(
      () => ended,
      () => {},
    );
    const { commit, putBack } = await swapped;
    return { commit: () => commit().finally(end), putBack: () => putBack().finally(end) };
  }

  async #swapIn(read: ReadDisks): Promise<DiskSwap> {
    const qmp = this.#requireQmp();
    const swaps: { disk: Disk; before: Disk; after: Pick<Disk, 'chain' | 'active' | 'nodes'> }[] = [];
    const back = async (): Promise<void> => {
      for (const { disk, before, after } of swaps.splice(0).reverse()) {
        await this.#setDrive(disk.name, before.nodes[0]!);
        Object.assign(disk, { chain: before.chain, active: before.active, nodes: before.nodes });
        await this.#dropNew(after.active);
      }
    };
    try {
      for (const { disk: name, chain } of read) {
        const disk = this.#disks.find((one) => one.name === name)!;
        const active = await this.#layers.addLayer(name, disk.sizeBytes, chain);
        const after = { chain, active, nodes: [nodeOf(active)] };
        try {
          await qmp.execute('blockdev-add', this.#nodeOver(active, chain));
        } catch (error) {
          await this.#layers.removeLayer(active);
          throw error;
        }
        swaps.push({ disk, before: { ...disk }, after });
        await this.#setDrive(name, nodeOf(active));
        Object.assign(disk, after);
      }
    } catch (error) {
      await back();
      throw error;
    }
    return {
      commit: async () => {
        for (const { before } of swaps) {
          // The machine has its disks: a node that QEMU keeps costs room and nothing else.
          for (const node of before.nodes) await deleteNode(qmp, node);
          await this.#layers.removeLayer(before.active);
        }
      },
      putBack: back,
    };
  }

  /**
   * Has the machine read its disks through the files that stand for rows of its layers since those were merged; how many disks
   * changed. It may run: what it reads is the same.
   *
   * Throws `guest-failed` when QEMU refuses; the disk is as before then.
   */
  async shorten(): Promise<number> {
    return this.#alone(async () => {
      let count = 0;
      for (const disk of this.#disks) {
        const chain = await this.#layers.resolve(disk.chain);
        if (chain.length === disk.chain.length) continue;
        await this.#layers.check(chain);
        await this.#readThrough(disk, chain);
        count++;
      }
      return count;
    });
  }

  async #readThrough(disk: Disk, chain: readonly FrozenFile[]): Promise<void> {
    const qmp = this.#requireQmp();
    const filename = this.#layers.fileOf(disk.active);
    const nodes = await qmp.execute('query-named-block-nodes', { flat: true });
    const file = nodes.find(({ drv, file }) => drv === 'file' && file === filename)?.['node-name'];
    if (file === undefined) throw new VitrineError('guest-failed', { command: 'blockdev-reopen', filename });
    const [active, ...old] = disk.nodes;
    // The uppermost file may be the one that it was, which has a node of its own name.
    const below = `${NODE_PREFIX}${randomBytes(8).toString('hex')}`;
    await qmp.execute('blockdev-add', { 'node-name': below, ...this.#nodeOf(chain)! });
    try {
      const node = { ...fileNode(active!, filename), file, backing: below };
      await qmp.execute('blockdev-reopen', { options: [node] });
    } catch (error) {
      await deleteNode(qmp, below);
      throw error;
    }
    Object.assign(disk, { chain, nodes: [active, below] });
    for (const node of old) await deleteNode(qmp, node);
    // Until here the files before were its own.
    await this.#layers.own(disk.active, chain);
  }

  /** The machine is gone, or was never started: what it wrote and no snapshot names goes, too. */
  async close(): Promise<void> {
    if (this.#isLeft) return;
    for (const { active } of this.#disks) await this.#layers.removeLayer(active);
  }

  async #setDrive(name: string, value: string): Promise<void> {
    const path = `/machine/peripheral/${deviceOf(name)}`;
    await this.#requireQmp().execute('qom-set', { path, property: 'drive', value });
  }

  /** A layer that was added and is not used after all. */
  async #dropNew(layer: ActiveLayer): Promise<void> {
    await deleteNode(this.#requireQmp(), nodeOf(layer));
    await this.#layers.removeLayer(layer);
  }

  /** The node of an active layer with all that lies below it. */
  #nodeOver(active: ActiveLayer, chain: readonly FrozenFile[]): BlockNode {
    const below = this.#nodeOf(chain);
    return { ...fileNode(nodeOf(active), this.#layers.fileOf(active)), backing: below };
  }

  /** The node of a chain that nobody writes. */
  #nodeOf(chain: readonly FrozenFile[]): { driver: DiskFormat; [option: string]: unknown } | undefined {
    let below: { driver: DiskFormat; [option: string]: unknown } | undefined;
    for (const file of [...chain].reverse()) {
      const node = {
        driver: file.format,
        'read-only': true,
        file: { driver: 'file', filename: this.#layers.fileOf(file) },
      };
      // A qcow2 base may have files of its own behind it: those it names are used.
      below = below === undefined ? node : { ...node, backing: below };
    }
    return below;
  }

  /** Work on the disks goes one after another. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  #requireQmp(): Qmp {
    if (this.#qmp === undefined)
      throw new VitrineError('wrong-state', { required: 'attached', actual: 'apart' });
    return this.#qmp;
  }
}

/** Where there is no such node, there is nothing to delete. */
export async function deleteNode(qmp: Qmp, node: string): Promise<void> {
  try {
    await qmp.execute('blockdev-del', { 'node-name': node });
  } catch (error) {
    if (!isVitrineError(error, 'guest-failed')) throw error;
  }
}

function fileNode(name: string, filename: string): BlockNode {
  return {
    driver: 'qcow2',
    'node-name': name,
    discard: 'unmap',
    file: { driver: 'file', discard: 'unmap', filename },
  };
}

/** A layer's node: QEMU takes names of 31 bytes, and the digits of a layer are its own. */
export function nodeOf({ path }: { readonly path: string }): string {
  return `${NODE_PREFIX}${path.slice(-22, -6)}`;
}

export function deviceOf(disk: string): string {
  return `vitrine-disk-${disk}`;
}

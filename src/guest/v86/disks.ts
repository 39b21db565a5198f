// The disks of a v86 machine. What the guest wrote belongs to a snapshot, the image it started from to the machine's
// configuration:
//
//   image in memory (`buffer`)        a region `disk.hda`: pages, shared with every snapshot where they are equal
//   image by blocks (URL, File)       a device record `disk.hda.written`: the 256-byte blocks that were written, since
//                                     v86 reads the rest from the base image, which the configuration names
//   CD-ROM                            not saved: read-only, named by the configuration
//
// v86 saves an image in memory whole, in every state; `withoutDisks` keeps it out. Disks that are inserted or ejected
// after the guest was opened are not supported: regions are fixed for its life.

import { VitrineError } from '../../base/error.ts';
import type { ConfigValue } from '../guest.ts';
import type { V86Cpu, V86Disk, V86IdeInterface } from './v86-internals.ts';

const BLOCK_BYTES = 256;

/** Image data begin at a page, so that a table of unchanged length shares all pages before the first change. */
const TABLE_ALIGN = 4096;

export interface AttachedDisk {
  /** `hda`, `hdb`, `fda`, `fdb`, `cdrom`. */
  readonly name: string;
  readonly kind: 'memory' | 'blocks' | 'read-only';
  readonly disk: V86Disk;
}

/** Every disk of the machine, by name. */
export function disksOf(cpu: V86Cpu): AttachedDisk[] {
  const found: AttachedDisk[] = [];
  const add = (name: string, disk: V86Disk | null | undefined, readOnly: boolean) => {
    if (disk === null || disk === undefined) return;
    const written = disk.buffer instanceof ArrayBuffer ? 'memory' : 'blocks';
    found.push({ name, kind: readOnly ? 'read-only' : written, disk });
  };
  for (const [name, drive] of ideInterfaces(cpu)) {
    const readOnly = drive.is_atapi === true;
    add(readOnly && name === 'hdc' ? 'cdrom' : name, drive.buffer, readOnly);
  }
  for (const [index, drive] of (cpu.devices.fdc?.drives ?? []).entries()) {
    add(index === 0 ? 'fda' : 'fdb', drive.buffer, false);
  }
  return found;
}

/** What of the disks shapes the machine: kind, size and where the base image comes from. */
export function describeDisks(disks: readonly AttachedDisk[]): Record<string, ConfigValue> {
  const config: Record<string, ConfigValue> = {};
  for (const { name, kind, disk } of disks) {
    config[`disk.${name}.kind`] = kind;
    config[`disk.${name}.bytes`] = disk.byteLength;
    const source = disk.filename ?? disk.file?.name;
    if (source !== undefined) config[`disk.${name}.source`] = source;
  }
  return config;
}

/** Whether a drive waits for a block of its base image: its answer would be lost in a snapshot. */
export function isDiskBusy(cpu: V86Cpu): boolean {
  return ideInterfaces(cpu).some(([, drive]) => drive.in_progress_io_ids.size > 0);
}

/** Runs `work` while v86's state functions leave disk contents alone. */
export function withoutDisks<T>(disks: readonly AttachedDisk[], work: () => T): T {
  const before = disks.map(({ disk }) =>
    Object.hasOwn(disk, 'set_state') ? { set_state: disk.set_state } : {},
  );
  for (const { disk } of disks) Object.assign(disk, { get_state: () => [], set_state: () => undefined });
  try {
    return work();
  } finally {
    for (const [index, { disk }] of disks.entries()) {
      // Deleting uncovers the functions of v86's prototype, below one that follows writes.
      const own = disk as Partial<V86Disk>;
      delete own.get_state;
      delete own.set_state;
      Object.assign(disk, before[index]);
    }
  }
}

/** The written blocks: u32 count, that many u32 block numbers in order, padding to 4 KiB, the blocks in that order. */
export function encodeWrittenBlocks(disk: V86Disk): Uint8Array<ArrayBuffer> {
  const { block_cache: cache, block_cache_is_write: written } = disk;
  const numbers = Uint32Array.from(written ?? [], (block) => block).sort();
  const start = dataStart(numbers.length);
  const bytes = new Uint8Array(start + numbers.length * BLOCK_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, numbers.length, true);
  for (const [index, block] of numbers.entries()) {
    view.setUint32(4 + 4 * index, block, true);
    bytes.set(cache?.get(block) ?? new Uint8Array(BLOCK_BYTES), start + index * BLOCK_BYTES);
  }
  return bytes;
}

/** The blocks of such a record, by number. Throws `guest-state-invalid` and nothing else. */
export function decodeWrittenBlocks(
  bytes: Uint8Array,
  disk: V86Disk,
  record: string,
): Map<number, Uint8Array> {
  const refuse = (reason: string): never => {
    throw new VitrineError('guest-state-invalid', { record, reason });
  };
  if (bytes.length < 4) return refuse('cut off');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = view.getUint32(0, true);
  const start = dataStart(count);
  if (bytes.length !== start + count * BLOCK_BYTES) return refuse(`${count} blocks in ${bytes.length} bytes`);
  if (bytes.subarray(4 + 4 * count, start).some((byte) => byte !== 0)) return refuse('padding');
  const blocks = new Map<number, Uint8Array>();
  let previous = -1;
  for (let index = 0; index < count; index++) {
    const block = view.getUint32(4 + 4 * index, true);
    if (block <= previous || block * BLOCK_BYTES >= disk.byteLength) return refuse(`block ${block}`);
    blocks.set(block, bytes.slice(start + index * BLOCK_BYTES, start + (index + 1) * BLOCK_BYTES));
    previous = block;
  }
  return blocks;
}

/** Makes these the written blocks of the disk. */
export function loadWrittenBlocks(disk: V86Disk, blocks: ReadonlyMap<number, Uint8Array>): void {
  disk.block_cache?.clear();
  disk.block_cache_is_write?.clear();
  for (const [number, block] of blocks) {
    disk.block_cache?.set(number, block);
    disk.block_cache_is_write?.add(number);
  }
}

function dataStart(count: number): number {
  return Math.ceil((4 + 4 * count) / TABLE_ALIGN) * TABLE_ALIGN;
}

function ideInterfaces(cpu: V86Cpu): (readonly [string, V86IdeInterface])[] {
  const ide = cpu.devices.ide;
  const channels = [ide?.primary, ide?.secondary];
  return channels.flatMap((channel, index) => {
    if (channel === undefined) return [];
    const letters = index === 0 ? (['hda', 'hdb'] as const) : (['hdc', 'hdd'] as const);
    return [[letters[0], channel.master] as const, [letters[1], channel.slave] as const];
  });
}

// A qcow2 file, version 3, that holds nothing but one internal snapshot whose machine state is a migration stream: what
// `snapshot-load` loads into a machine that runs. QEMU writes to the file when it loads: make one anew for each load.
//
// Clusters of 64 KiB, one after another; all integers are big-endian:
//
//   header | refcount table | refcount blocks | active L1, zero | the snapshot's L1 | snapshot table | L2 tables | state
//
// The disk is one cluster long and empty. Machine state lies behind the disk in the snapshot's address space: behind one L2
// table's reach, 512 MiB, so that the first entry of its L1 is zero and the others name the L2 tables.

import type { OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';

const CLUSTER_BITS = 16;
const CLUSTER_BYTES = 2 ** CLUSTER_BITS;
const L2_ENTRIES = CLUSTER_BYTES / 8;
/** Counts of 16 bits. */
const REFCOUNTS = CLUSTER_BYTES / 2;
const DISK_BYTES = CLUSTER_BYTES;
/** Entries of an L1 that a disk so short has. */
const DISK_L1_ENTRIES = 1;
const HEADER_BYTES = 104;
const EXTRA_BYTES = 16;
const MAGIC = 0x5146_49fb;
/** The high half of an entry whose cluster has one reference. */
const COPIED = 0x8000_0000;
/** What an L1 of one cluster reaches: 4 TiB of state; one file in memory ends far before. */
const MAX_STATE_BYTES = (L2_ENTRIES - DISK_L1_ENTRIES) * L2_ENTRIES * CLUSTER_BYTES;

/**
 * A file whose snapshot `tag` has the chunks of `stream` as its machine state.
 *
 * Throws `argument-invalid` for a tag that is empty or longer than 255 bytes.
 */
export function vmstateImage(stream: readonly Uint8Array[], tag: string): OwnedBytes {
  const name = new TextEncoder().encode(tag);
  if (name.length === 0 || name.length > 255)
    throw new VitrineError('argument-invalid', { name: 'tag', tag });
  const stateBytes = bytesOf(stream);
  if (stateBytes > MAX_STATE_BYTES)
    throw new VitrineError('argument-invalid', { name: 'stream', stateBytes });
  const plan = planOf(stateBytes);
  const image = new Uint8Array(plan.clusterCount * CLUSTER_BYTES);
  const view = new DataView(image.buffer);
  writeHeader(view, plan);
  for (let i = 0; i < plan.refcountBlocks; i++) {
    writeU64(view, at(plan.refcountTable) + 8 * i, at(plan.refcountBlock + i));
  }
  for (let i = 0; i < plan.clusterCount; i++) view.setUint16(at(plan.refcountBlock) + 2 * i, 1);
  for (let i = 0; i < plan.l2Count; i++) {
    writeEntry(view, at(plan.snapshotL1) + 8 * (DISK_L1_ENTRIES + i), at(plan.l2 + i));
  }
  for (let i = 0; i < plan.stateClusters; i++) writeEntry(view, at(plan.l2) + 8 * i, at(plan.state + i));
  writeSnapshot(view, plan, { name, stateBytes });
  let to = at(plan.state);
  for (const chunk of stream) {
    image.set(chunk, to);
    to += chunk.length;
  }
  return image;
}

/** Where in such a file the stream begins; it lies there in one piece. */
export function stateOffset(stream: readonly Uint8Array[]): number {
  return at(planOf(bytesOf(stream)).state);
}

function bytesOf(stream: readonly Uint8Array[]): number {
  return stream.reduce((sum, { length }) => sum + length, 0);
}

/** Numbers of clusters. */
interface Plan {
  readonly refcountTable: number;
  readonly refcountBlock: number;
  readonly refcountBlocks: number;
  readonly activeL1: number;
  readonly snapshotL1: number;
  readonly snapshotTable: number;
  readonly l2: number;
  readonly l2Count: number;
  readonly state: number;
  readonly stateClusters: number;
  readonly clusterCount: number;
}

function planOf(stateBytes: number): Plan {
  const stateClusters = Math.ceil(stateBytes / CLUSTER_BYTES);
  const l2Count = Math.ceil(stateClusters / L2_ENTRIES);
  // Header, refcount table, two L1 and the snapshot table, and the blocks that count themselves too.
  const others = 5 + l2Count + stateClusters;
  const refcountBlocks = Math.ceil(others / (REFCOUNTS - 1));
  const refcountTable = 1;
  const refcountBlock = 2;
  const activeL1 = refcountBlock + refcountBlocks;
  const l2 = activeL1 + 3;
  const state = l2 + l2Count;
  return {
    refcountTable,
    refcountBlock,
    refcountBlocks,
    activeL1,
    snapshotL1: activeL1 + 1,
    snapshotTable: activeL1 + 2,
    l2,
    l2Count,
    state,
    stateClusters,
    clusterCount: state + stateClusters,
  };
}

/**
 * | Offset | Size | Field |
 * |--------|------|-------|
 * | 0      | 8    | magic, version 3 |
 * | 8      | 12   | no backing file |
 * | 20     | 4    | cluster bits |
 * | 24     | 8    | bytes of the disk |
 * | 32     | 4    | no encryption |
 * | 36     | 12   | entries and place of the active L1 |
 * | 48     | 12   | place and clusters of the refcount table |
 * | 60     | 12   | snapshots and place of their table |
 * | 72     | 24   | no features |
 * | 96     | 8    | refcounts of 2^4 bits; length of the header |
 * | 104    | 8    | end of the header extensions |
 */
function writeHeader(view: DataView, plan: Plan): void {
  view.setUint32(0, MAGIC);
  view.setUint32(4, 3);
  view.setUint32(20, CLUSTER_BITS);
  writeU64(view, 24, DISK_BYTES);
  view.setUint32(36, DISK_L1_ENTRIES + plan.l2Count);
  writeU64(view, 40, at(plan.activeL1));
  writeU64(view, 48, at(plan.refcountTable));
  view.setUint32(56, 1);
  view.setUint32(60, 1);
  writeU64(view, 64, at(plan.snapshotTable));
  view.setUint32(96, 4);
  view.setUint32(100, HEADER_BYTES);
}

/**
 * | Offset | Size | Field |
 * |--------|------|-------|
 * | 0      | 12   | place and entries of the snapshot's L1 |
 * | 12     | 4    | lengths of id and name |
 * | 16     | 16   | date, time of the virtual clock |
 * | 32     | 4    | bytes of the state, 0 where they are told below alone |
 * | 36     | 4    | bytes of what follows |
 * | 40     | 16   | bytes of the state, bytes of the disk |
 * | 56     |      | id, name |
 */
function writeSnapshot(
  view: DataView,
  plan: Plan,
  { name, stateBytes }: { readonly name: Uint8Array; readonly stateBytes: number },
): void {
  const from = at(plan.snapshotTable);
  writeU64(view, from, at(plan.snapshotL1));
  view.setUint32(from + 8, DISK_L1_ENTRIES + plan.l2Count);
  view.setUint16(from + 12, 1);
  view.setUint16(from + 14, name.length);
  view.setUint32(from + 32, stateBytes < 2 ** 32 ? stateBytes : 0);
  view.setUint32(from + 36, EXTRA_BYTES);
  writeU64(view, from + 40, stateBytes);
  writeU64(view, from + 48, DISK_BYTES);
  view.setUint8(from + 56, '1'.charCodeAt(0));
  new Uint8Array(view.buffer).set(name, from + 57);
}

/** The place of a cluster. */
function at(cluster: number): number {
  return cluster * CLUSTER_BYTES;
}

function writeEntry(view: DataView, to: number, offsetBytes: number): void {
  view.setUint32(to, (COPIED | Math.floor(offsetBytes / 2 ** 32)) >>> 0);
  view.setUint32(to + 4, offsetBytes % 2 ** 32);
}

function writeU64(view: DataView, to: number, value: number): void {
  view.setUint32(to, Math.floor(value / 2 ** 32));
  view.setUint32(to + 4, value % 2 ** 32);
}

// An empty qcow2 overlay, version 3: a disk that reads as the file behind it until it is written. Made by ourselves, since one
// is needed in each pause in which a disk was written, and starting `qemu-img` takes longer than the rest of the pause.
//
// Clusters of 64 KiB: header | refcount table | refcount block | L1, zero. QEMU lets the file grow from there.

import type { OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';

const CLUSTER_BITS = 16;
export const CLUSTER_BYTES = 2 ** CLUSTER_BITS;
const L2_ENTRIES = CLUSTER_BYTES / 8;
const HEADER_BYTES = 104;
const MAGIC = 0x5146_49fb;
/** The header extension that tells the format of the file behind, so that nobody guesses it from a guest's bytes. */
const BACKING_FORMAT = 0xe279_2aca;
/** As long as the format lets the name be. */
const MAX_BACKING_BYTES = 1023;
const SECTOR_BYTES = 512;

/** What lies behind an overlay. */
export interface Backing {
  /** Absolute, or relative to the overlay's folder. */
  readonly path: string;
  readonly format: DiskFormat;
}

export type DiskFormat = 'raw' | 'qcow2';

/**
 * An overlay of a disk of `sizeBytes` over `backing`.
 *
 * Throws `argument-invalid` for a size that is no whole sectors and for a path that is too long.
 */
export function overlayImage(sizeBytes: number, backing: Backing): OwnedBytes {
  const path = new TextEncoder().encode(backing.path);
  if (path.length > MAX_BACKING_BYTES) {
    throw new VitrineError('argument-invalid', { name: 'path', path: backing.path });
  }
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % SECTOR_BYTES !== 0) {
    throw new VitrineError('argument-invalid', { name: 'sizeBytes', sizeBytes });
  }
  const l1Entries = Math.ceil(sizeBytes / (CLUSTER_BYTES * L2_ENTRIES));
  const l1Clusters = Math.ceil((l1Entries * 8) / CLUSTER_BYTES);
  const clusterCount = 3 + l1Clusters;
  const image = new Uint8Array(clusterCount * CLUSTER_BYTES);
  const view = new DataView(image.buffer);
  const format = new TextEncoder().encode(backing.format);
  // The format's extension, padded to eight bytes, and the one that ends them; the path comes behind.
  const extensionBytes = 8 + 8 * Math.ceil(format.length / 8) + 8;
  view.setUint32(0, MAGIC);
  view.setUint32(4, 3);
  view.setBigUint64(8, BigInt(HEADER_BYTES + extensionBytes));
  view.setUint32(16, path.length);
  view.setUint32(20, CLUSTER_BITS);
  view.setBigUint64(24, BigInt(sizeBytes));
  view.setUint32(36, l1Entries);
  view.setBigUint64(40, BigInt(3 * CLUSTER_BYTES));
  view.setBigUint64(48, BigInt(CLUSTER_BYTES));
  view.setUint32(56, 1);
  view.setUint32(96, 4);
  view.setUint32(100, HEADER_BYTES);
  view.setUint32(HEADER_BYTES, BACKING_FORMAT);
  view.setUint32(HEADER_BYTES + 4, format.length);
  image.set(format, HEADER_BYTES + 8);
  image.set(path, HEADER_BYTES + extensionBytes);
  view.setBigUint64(CLUSTER_BYTES, BigInt(2 * CLUSTER_BYTES));
  for (let cluster = 0; cluster < clusterCount; cluster++) view.setUint16(2 * CLUSTER_BYTES + 2 * cluster, 1);
  return image;
}

/** The size of the disk in a qcow2 file that begins with `head`; undefined for another file. */
export function diskBytesOf(head: Uint8Array): number | undefined {
  if (head.length < 32) return undefined;
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  return view.getUint32(0) === MAGIC ? Number(view.getBigUint64(24)) : undefined;
}

// Reads the machine state of an internal snapshot out of a qcow2 file that QEMU wrote: the inverse of `qcow2.ts`, for files
// that started as one of its images, with a disk shorter than one L2 table's reach.

import { type OwnedBytes, ownBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';

const MAGIC = 0x5146_49fb;
const HEADER_BYTES = 104;
const SNAPSHOT_HEAD_BYTES = 40;
/** Entries of the snapshot's L1 that belong to the disk. */
const DISK_L1_ENTRIES = 1;

/** The state of the snapshot `tag`. Throws `format-*` where the file is damaged, `not-found` where it has no such snapshot. */
export function readVmstate(file: Uint8Array, tag: string): OwnedBytes {
  const image = ownBytes(file);
  const view = new DataView(image.buffer, image.byteOffset, image.length);
  if (image.length < HEADER_BYTES) throw new VitrineError('format-truncated', { field: 'header' });
  if (view.getUint32(0) !== MAGIC) throw new VitrineError('format-magic', { magic: view.getUint32(0) });
  const clusterBytes = 2 ** view.getUint32(20);
  const need = (at: number, length: number, field: string): void => {
    if (at < 0 || at + length > image.length) throw new VitrineError('format-truncated', { field, at });
  };
  const u64 = (at: number): number => Number(view.getBigUint64(at));
  /** An entry of an L1 or L2 table without its flags. */
  const entry = (at: number): number => Number(view.getBigUint64(at) & 0x00ff_ffff_ffff_fe00n);
  const count = view.getUint32(60);
  let at = u64(64);
  for (let index = 0; index < count; index++) {
    need(at, SNAPSHOT_HEAD_BYTES, 'snapshot');
    const idBytes = view.getUint16(at + 12);
    const nameBytes = view.getUint16(at + 14);
    const extraBytes = view.getUint32(at + 36);
    const lengthBytes = SNAPSHOT_HEAD_BYTES + extraBytes + idBytes + nameBytes;
    need(at, lengthBytes, 'snapshot');
    const nameAt = at + SNAPSHOT_HEAD_BYTES + extraBytes + idBytes;
    if (Buffer.from(image.subarray(nameAt, nameAt + nameBytes)).toString('utf8') === tag) {
      const stateBytes = extraBytes >= 8 ? u64(at + SNAPSHOT_HEAD_BYTES) : view.getUint32(at + 32);
      return readState(u64(at), view.getUint32(at + 8), stateBytes);
    }
    at += Math.ceil(lengthBytes / 8) * 8;
  }
  throw new VitrineError('not-found', { snapshot: tag });

  function readState(l1: number, l1Entries: number, stateBytes: number): OwnedBytes {
    // No more than the file can hold: a size alone allocates nothing.
    if (stateBytes > image.length) throw new VitrineError('format-limit', { stateBytes });
    const state = new Uint8Array(stateBytes);
    const perTable = clusterBytes / 8;
    for (let done = 0; done < stateBytes; done += clusterBytes) {
      const cluster = done / clusterBytes;
      const l1Index = DISK_L1_ENTRIES + Math.floor(cluster / perTable);
      if (l1Index >= l1Entries) throw new VitrineError('format-truncated', { field: 'L1 table' });
      need(l1 + 8 * l1Index, 8, 'L1 table');
      const l2 = entry(l1 + 8 * l1Index);
      need(l2 + 8 * (cluster % perTable), 8, 'L2 table');
      const data = entry(l2 + 8 * (cluster % perTable));
      // A cluster that was never written reads as zeros.
      if (l2 === 0 || data === 0) continue;
      // QEMU ends its file after the last byte written, not after the last cluster.
      const length = Math.min(clusterBytes, stateBytes - done);
      need(data, 1, 'state');
      state.set(image.subarray(data, Math.min(data + length, image.length)), done);
    }
    return state;
  }
}

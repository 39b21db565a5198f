// Sync: a snapshot from one place to another, of its objects only what is missing there. A place is an engine at hand or a
// bridge, in any combination; the one that has the snapshot sends, the other one proves and stores.

import type { SnapshotInfo } from '../engine/snapshot.ts';
import type { SendOptions, SnapshotReceiver, TransferReport } from '../engine/transfer.ts';

/** Where a snapshot comes from. */
export interface SyncSource {
  show(snapshot: string): Promise<SnapshotInfo>;
  send(snapshot: string, receiver: SnapshotReceiver, options?: SendOptions): Promise<TransferReport>;
}

/** Where it goes. */
export interface SyncTarget {
  /** Runs `work` with a receiver for a snapshot of that machine. */
  receive<Result>(machine: string, work: (receiver: SnapshotReceiver) => Promise<Result>): Promise<Result>;
}

/**
 * Brings a snapshot from one store to another. Snapshots of its past that both have are told from, everything else is asked
 * for by digest.
 *
 * On failure what had come already stays in the target's store, unreferenced, and is not sent again next time. Throws what
 * the source throws, `object-missing` when a collection in the target removed what had come, `object-damaged`, `aborted`.
 *
 * @example await sync(bridge, vitrine, snapshot.id);   // from a host into this browser's store
 */
export async function sync(
  source: SyncSource,
  target: SyncTarget,
  snapshot: string,
  options: SendOptions = {},
): Promise<TransferReport> {
  const { id, machine } = await source.show(snapshot);
  return target.receive(machine, (receiver) => source.send(id, receiver, options));
}

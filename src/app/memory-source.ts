// Memory that can be looked at: a machine as it is now, or a snapshot.

import type { OwnedBytes } from '../base/bytes.ts';
import type { SnapshotInfo } from '../engine/snapshot.ts';
import type { Region } from '../memory/region.ts';
import { copyShared, isSpanShared } from '../memory/shared-memory.ts';
import type { OpenMachine } from './open-machine.ts';
import { formatTime } from './quantity.ts';
import { titleOf } from './snapshot-order.ts';
import type { Workspace } from './workspace.ts';

export type MemorySource =
  | { readonly kind: 'live'; readonly machine: OpenMachine }
  | { readonly kind: 'snapshot'; readonly snapshot: SnapshotInfo };

/** What is known of a region in either. */
export type SourceRegion = Pick<Region, 'name' | 'guestAddress' | 'sizeBytes' | 'pageBytes'>;

/** Bytes; of one instant unless they are torn. `pauseMs` is how long a running guest rested for them. */
export interface Sight {
  readonly bytes: OwnedBytes;
  readonly pauseMs: number | null;
  readonly isTorn: boolean;
}

/** A name for a source that a form can hold. */
export function keyOf(source: MemorySource): string {
  return source.kind === 'live' ? `live:${source.machine.name}` : `snapshot:${source.snapshot.id}`;
}

/** Everything that can be looked at now, live machines first, then snapshots, newest first. */
export function listSources(workspace: Workspace): MemorySource[] {
  const live = workspace.machines.value.filter((machine) => machine.lost.value === null);
  return [
    ...live.map((machine) => ({ kind: 'live', machine }) as const),
    ...workspace.snapshots.value.map((snapshot) => ({ kind: 'snapshot', snapshot }) as const).reverse(),
  ];
}

export function findSource(workspace: Workspace, key: string): MemorySource | undefined {
  return listSources(workspace).find((source) => keyOf(source) === key);
}

export function titleOfSource(source: MemorySource): string {
  if (source.kind === 'live') return `${source.machine.name}, now`;
  return `${titleOf(source.snapshot)} (${source.snapshot.machine}, ${formatTime(source.snapshot.createdAtMs)})`;
}

export async function regionsOf(
  workspace: Workspace,
  source: MemorySource,
): Promise<readonly SourceRegion[]> {
  if (source.kind === 'live') return source.machine.guest.description.regions;
  return (await workspace.requireEngine().show(source.snapshot.id)).manifest.regions;
}

/**
 * Reads a range of a region. With `torn` a machine in shared memory is read from this thread as it runs, and nobody is asked.
 *
 * Throws what `peek` throws.
 */
export async function lookAt(
  workspace: Workspace,
  source: MemorySource,
  range: { readonly region: string; readonly offsetBytes: number; readonly lengthBytes: number },
  { torn = false } = {},
): Promise<Sight> {
  if (source.kind === 'live') {
    const { guest, joined } = source.machine;
    const region = guest.description.regions.find(({ name }) => name === range.region);
    if (torn && guest.shared !== undefined && region !== undefined) {
      const span = { ...range, region: region.id };
      if (isSpanShared(guest.shared, span)) {
        return { bytes: copyShared(guest.shared, span), pauseMs: 0, isTorn: true };
      }
    }
    const { bytes, pauseMs } = await (await joined).peek([range]);
    return { bytes: bytes[0] ?? new Uint8Array(), pauseMs, isTorn: false };
  }
  const [bytes] = await workspace.requireEngine().peek(source.snapshot.id, [range]);
  return { bytes: bytes ?? new Uint8Array(), pauseMs: null, isTorn: false };
}

// Snapshots in the order in which the list shows them. A history that does not branch stays on one level; where it does,
// the younger children stand one level deeper right under their parent, and then the oldest goes on with its line.

import type { SnapshotId, SnapshotInfo } from '../engine/snapshot.ts';

export interface PlacedSnapshot {
  readonly snapshot: SnapshotInfo;
  /** 0 for a first line of history. */
  readonly level: number;
  /** Null for a first snapshot and for one whose parent was deleted. */
  readonly parent: SnapshotInfo | null;
}

/** Every snapshot once, parents before their children. `snapshots` come oldest first. */
export function orderSnapshots(snapshots: readonly SnapshotInfo[]): PlacedSnapshot[] {
  const byId = new Map(snapshots.map((snapshot) => [snapshot.id, snapshot]));
  const children = new Map<SnapshotId | null, SnapshotInfo[]>();
  for (const snapshot of snapshots) {
    const parent = snapshot.parent !== null && byId.has(snapshot.parent) ? snapshot.parent : null;
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [snapshot]);
    else siblings.push(snapshot);
  }
  const placed: PlacedSnapshot[] = [];
  // A stack and not recursion: a history may be ten thousand snapshots long.
  const waiting = (children.get(null) ?? []).map((snapshot) => ({ snapshot, level: 0 })).reverse();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { snapshot, level } = next;
    const parent = snapshot.parent === null ? null : (byId.get(snapshot.parent) ?? null);
    placed.push({ snapshot, level, parent });
    const [line, ...branches] = children.get(snapshot.id) ?? [];
    if (line !== undefined) waiting.push({ snapshot: line, level });
    for (const branch of branches.reverse()) waiting.push({ snapshot: branch, level: level + 1 });
  }
  return placed;
}

/** What a snapshot is called: its label, or that it has none. */
export function titleOf(snapshot: SnapshotInfo): string {
  return snapshot.label === '' ? `unnamed ${snapshot.id.slice(0, 8)}` : snapshot.label;
}

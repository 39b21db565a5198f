// Which points of a host machine's recent past lie on one line: the one that leads to where the machine is, and on to where that future
// ended. A machine that went on from a point has several futures; the others are named by their last points.
//
//   1 ── 2 ── 3 ── 4        at 6: the line is 1 2 5 6, and 4 is the end of another future
//         └── 5 ── 6

import type { RemotePast } from '../bridge/remote-guest.ts';
import type { SnapshotId, SnapshotInfo } from '../engine/snapshot.ts';

export type HostPoint = RemotePast['points'][number];

export interface PastLine {
  /** Oldest first. */
  readonly line: readonly HostPoint[];
  /** The last points of futures that are not on the line, oldest first. */
  readonly ends: readonly HostPoint[];
  /** The point that the machine is at or came from last; null where there is none. */
  readonly head: HostPoint | null;
}

/**
 * The line of a past. `points` are in the order in which they were taken; `snapshots` say what came from what where a snapshot that is no
 * point lies between two; `base` is the one that the machine goes on from; where the head's future forks, the line leads to `towards`, or
 * to where the machine was last.
 */
export function pastLine(
  points: readonly HostPoint[],
  snapshots: readonly SnapshotInfo[],
  base: SnapshotId | null,
  towards: SnapshotId | null,
): PastLine {
  const indexOf = new Map(points.map(({ snapshot }, index) => [snapshot, index]));
  const parentOf = new Map(snapshots.map(({ id, parent }) => [id, parent]));
  /** The point at or before a snapshot; undefined where that is not known. */
  const pointAt = (from: SnapshotId | null): number | undefined => {
    const seen = new Set<SnapshotId>();
    for (let id = from; id !== null && !seen.has(id); id = parentOf.get(id) ?? null) {
      const index = indexOf.get(id);
      if (index !== undefined) return index;
      seen.add(id);
    }
    return undefined;
  };
  // Where it is not known what it came from, the one before it: a machine that was started anew goes on with the same past.
  const parents = points.map(({ parent }, index) => {
    const known = pointAt(parent);
    return known !== undefined && known < index ? known : index - 1;
  });
  if (points.length === 0) return { line: [], ends: [], head: null };
  const head = pointAt(base) ?? points.length - 1;
  const last = lastOf(parents, head, towards === null ? undefined : indexOf.get(towards));
  const onLine = new Set(wayTo(parents, last));
  const hasNext = new Set(parents);
  return {
    line: points.filter((_, index) => onLine.has(index)),
    ends: points.filter((_, index) => !onLine.has(index) && !hasNext.has(index)),
    head: points[head] ?? null,
  };
}

/** Indices of a point and all that it came from, the youngest first. */
function wayTo(parents: readonly number[], index: number): number[] {
  const way: number[] = [];
  for (let at = index; at >= 0; at = parents[at] ?? -1) way.push(at);
  return way;
}

/** The last point of the future of `head`: `towards` where that is in it, or else along the youngest of what came next. */
function lastOf(parents: readonly number[], head: number, towards: number | undefined): number {
  if (towards !== undefined && wayTo(parents, towards).includes(head)) return towards;
  let last = head;
  for (let next = parents.lastIndexOf(last); next > last; next = parents.lastIndexOf(last)) last = next;
  return last;
}

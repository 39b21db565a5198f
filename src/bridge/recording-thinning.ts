// Which point a recorded past gives up when it is full: old history gets sparser before it gets shorter, as with the rewind of a page's
// machines (`rewind/thinning.ts`), here over snapshots.
//
//   1  a point between two others, where the gap that is left is at most a quarter of its age: the smallest such gap first
//   2  the oldest point
//   3  where the oldest may not go (a bookmark): any other point, the smallest gap for its age first
//
// Bookmarks, the newest point and the snapshot that the machine goes on from are never chosen.

import type { DiffReport } from '../engine/diff.ts';
import type { SnapshotId } from '../engine/snapshot.ts';
import type { PastPoint } from './recording-book.ts';

const MAX_GAP = 0.25;

/** What counts of the points: all but the oldest one's own bytes. */
export function pastBytes(points: readonly PastPoint[]): number {
  return points.slice(1).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The next one to go, undefined when none may. `base` is spared. */
export function chooseToDrop(
  points: readonly PastPoint[],
  base: SnapshotId | null,
  nowMs: number,
): PastPoint | undefined {
  let best: { readonly point: PastPoint; readonly gap: number } | undefined;
  for (const [index, point] of points.entries()) {
    const [before, after] = [points[index - 1], points[index + 1]];
    if (before === undefined || after === undefined || !isFree(point, base)) continue;
    const gap = (after.atMs - before.atMs) / Math.max(1, nowMs - point.atMs);
    if (gap < (best?.gap ?? Number.POSITIVE_INFINITY)) best = { point, gap };
  }
  const oldest = points[0];
  if (best !== undefined && best.gap <= MAX_GAP) return best.point;
  if (oldest !== undefined && points.length > 1 && isFree(oldest, base)) return oldest;
  return best?.point;
}

/** How much of what a point wrote the next one wrote again, from 0 to 1. `before` is null where all of it was written. */
export function commonShare(before: DiffReport | null, after: DiffReport): number {
  let written = 0;
  let common = 0;
  for (const [index, region] of after.regions.entries()) {
    const earlier = before === null ? [{ first: 0, count: region.pageCount }] : before.regions[index]!.runs;
    written += earlier.reduce((sum, { count }) => sum + count, 0);
    common += overlapOf(earlier, region.runs);
  }
  return written === 0 ? 1 : common / written;
}

function isFree({ bookmark, snapshot }: PastPoint, base: SnapshotId | null): boolean {
  return bookmark === null && snapshot !== base;
}

/** Pages in both lists of runs, each ascending. */
function overlapOf(
  a: readonly { readonly first: number; readonly count: number }[],
  b: readonly { readonly first: number; readonly count: number }[],
): number {
  let pages = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [one, other] = [a[i]!, b[j]!];
    const [oneEnd, otherEnd] = [one.first + one.count, other.first + other.count];
    pages += Math.max(0, Math.min(oneEnd, otherEnd) - Math.max(one.first, other.first));
    if (oneEnd <= otherEnd) i++;
    else j++;
  }
  return pages;
}

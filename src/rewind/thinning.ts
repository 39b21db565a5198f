// Which point a history gives up when it is full. Old history gets sparser before it gets shorter:
//
//   1  points of branches, merged from their oldest on, then the branches' ends: futures that were left
//   2  points of the timeline, where the gap that is left is at most a quarter of their age: so it ends up exponential
//   3  the oldest point, when the timeline is as thin as that
//   4  where the oldest may not go (a bookmark): any other point, the smallest gap for its age first
//
// Bookmarks, the head, the tip and points where futures part are never chosen. Where merging would free next to nothing,
// since both deltas have other pages, it is not done before step 4.

import { commonPages, type Delta, pagesIn } from './delta.ts';
import { type Point, type Timeline, wayUp } from './timeline.ts';

/** The largest gap that thinning leaves, as a part of the age: 50 points for the last hour at ten points a second. */
const MAX_GAP = 0.25;
/** Common pages of the smaller delta, below which a merge is not worth its time. */
const MIN_COMMON = 1 / 16;
/** Deltas looked at for common pages: programs that go round touch other pages from one epoch to the next. */
const LOOK_AHEAD = 8;

export type ThinningStep =
  | { readonly kind: 'merge'; readonly point: Point }
  | { readonly kind: 'drop-leaf'; readonly point: Point }
  | { readonly kind: 'drop-root' };

export class Thinning {
  /** By delta of a point: whether a merge with the delta after it frees something. */
  readonly #gains = new WeakMap<Delta, { readonly next: Delta; readonly isWorth: boolean }>();
  /** By delta of a point: the delta with which a merge made nothing smaller. */
  readonly #refused = new WeakMap<Delta, Delta>();

  /** The next step, or null when nothing is left that may go. `spared` is not chosen either. */
  choose(timeline: Timeline, spared: ReadonlySet<Point>): ThinningStep | null {
    const trunk = timeline.branchCount > 0 ? timeline.trunk() : null;
    const nowMs = timeline.tip.atMs;
    let branch: Point | null = null;
    let branchEnd: Point | null = null;
    let best: { readonly point: Point; readonly gap: number } | null = null;
    let squeezed: { readonly point: Point; readonly gap: number } | null = null;
    for (const point of timeline.points()) {
      if (!isFree(point, timeline, spared)) continue;
      if (trunk !== null && !trunk.has(point)) {
        if (point.children.length === 0) branchEnd ??= point;
        else if (branch === null && this.#isWorth(point)) branch = point;
        continue;
      }
      const gap = gapOf(point, nowMs);
      if (gap < (squeezed?.gap ?? Number.POSITIVE_INFINITY) && !this.#isRefused(point))
        squeezed = { point, gap };
      if (gap > MAX_GAP || gap >= (best?.gap ?? Number.POSITIVE_INFINITY)) continue;
      if (this.#isWorth(point)) best = { point, gap };
    }
    if (branch !== null) return { kind: 'merge', point: branch };
    if (branchEnd !== null) return { kind: 'drop-leaf', point: branchEnd };
    if (best !== null) return { kind: 'merge', point: best.point };
    if (isRootFree(timeline, spared)) return { kind: 'drop-root' };
    return squeezed === null ? null : { kind: 'merge', point: squeezed.point };
  }

  /** That merge made nothing smaller: not again, while the two are as they are. */
  refuse(point: Point): void {
    const next = point.children[0]?.delta;
    if (point.delta === null || !next) return;
    this.#gains.set(point.delta, { next, isWorth: false });
    this.#refused.set(point.delta, next);
  }

  #isRefused({ delta, children }: Point): boolean {
    return this.#refused.get(delta!) === children[0]!.delta;
  }

  #isWorth(point: Point): boolean {
    const { delta, children } = point;
    const next = children[0]!.delta!;
    const known = this.#gains.get(delta!);
    if (known?.next === next) return known.isWorth;
    const isWorth = meetsSoon(point);
    this.#gains.set(delta!, { next, isWorth });
    return isWorth;
  }
}

/** Whether one of the next deltas has pages of this one: what is merged now meets its like then. */
function meetsSoon({ delta, children }: Point): boolean {
  let next = children[0];
  for (let ahead = 0; ahead < LOOK_AHEAD && next !== undefined; ahead++) {
    const smaller = Math.min(pagesIn(delta!), pagesIn(next.delta!));
    if (commonPages(delta!, next.delta!) >= smaller * MIN_COMMON) return true;
    next = next.children.length === 1 ? next.children[0] : undefined;
  }
  return false;
}

/**
 * About how many bytes a history cannot give up: all between the oldest bookmark or parting of the ways and the tip, thinned
 * as far as can be. Told from the pages and their size so far.
 */
export function unyieldingBytes(timeline: Timeline, bookmarks: Iterable<Point>): number {
  const needed = new Set<Point>();
  const kept = new Set<Point>([timeline.head, timeline.tip]);
  for (const point of bookmarks) kept.add(point);
  for (const point of kept) for (const above of wayUp(point)) needed.add(above);
  const ends = [...kept].sort((a, b) => a.id - b.id);
  // Above the oldest that is kept and common to all, the history may be dropped.
  const first = oldestCommon(needed, timeline.root, kept);
  let bytes = 0;
  const counted = new Set<Point>();
  for (const end of ends) {
    let pages = 0;
    let deltaBytes = 0;
    const seen = new Map<number, Set<number>>();
    let distinct = 0;
    for (let at: Point | null = end; at !== null && at !== first && !counted.has(at); at = at.parent) {
      if (at !== end && kept.has(at)) break;
      counted.add(at);
      deltaBytes += at.delta!.sizeBytes;
      pages += pagesIn(at.delta!);
      for (const part of at.delta!.parts) {
        let set = seen.get(part.unit);
        if (set === undefined) {
          set = new Set();
          seen.set(part.unit, set);
        }
        const before = set.size;
        for (const page of part.pages) set.add(page);
        distinct += set.size - before;
      }
    }
    if (pages > 0) bytes += (deltaBytes * distinct) / pages;
  }
  return bytes;
}

/** The root, or the first point below it that is kept or at which kept ways part. */
function oldestCommon(needed: ReadonlySet<Point>, root: Point, kept: ReadonlySet<Point>): Point {
  let at = root;
  for (;;) {
    if (kept.has(at)) return at;
    const below = at.children.filter((child) => needed.has(child));
    if (below.length !== 1) return at;
    at = below[0]!;
  }
}

/** Whether a point may be merged into its neighbours, or fall off the end of a branch. */
function isFree(point: Point, timeline: Timeline, spared: ReadonlySet<Point>): boolean {
  if (point.parent === null || point.label !== null || point.children.length > 1) return false;
  return point !== timeline.head && point !== timeline.tip && !spared.has(point);
}

function isRootFree({ root, head, tip }: Timeline, spared: ReadonlySet<Point>): boolean {
  if (root.label !== null || root.children.length !== 1 || spared.has(root)) return false;
  return root !== head && root !== tip;
}

/** The gap that a point leaves, as a part of its age. */
function gapOf(point: Point, nowMs: number): number {
  const gapMs = point.children[0]!.atMs - point.parent!.atMs;
  return gapMs / Math.max(1, nowMs - point.atMs);
}

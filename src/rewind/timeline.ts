// Points of a guest's past as a tree, joined by deltas. The way from any point to any other one is the deltas on it,
// whichever direction each was made in.
//
//   root ── · ── · ──┬── · ── tip          the timeline: root to tip, the future that counts
//                    └── · ── · ── end     a branch: a future that was left by going back and on
//
// The head is where the guest was last seen: on the timeline, or at its tip while the guest runs. The tree counts its bytes
// and never merges or drops a point by itself.

import { assert } from '../base/assert.ts';
import { VitrineError } from '../base/error.ts';
import type { Delta } from './delta.ts';
import type { DeviceShape } from './intake.ts';

/** Unique in a history and never used again. */
export type PointId = number;

/** What a point takes beside its delta, about. */
export const POINT_BYTES = 256;

export interface Point {
  readonly id: PointId;
  parent: Point | null;
  readonly children: Point[];
  /** From the parent; null for the root. */
  delta: Delta | null;
  readonly shape: readonly DeviceShape[];
  /** How long the guest had run on the way to it. */
  readonly atMs: number;
  /** When it was taken, by the calendar. */
  readonly wallMs: number;
  label: string | null;
}

/** A point of a tree that is built again. */
export interface RebuiltPoint extends PointFields {
  readonly id: PointId;
  readonly parent: PointId | null;
  readonly label: string | null;
  readonly delta: Delta | null;
}

/** What a point is made of. */
export type PointFields = Pick<Point, 'shape' | 'atMs' | 'wallMs'>;

export class Timeline {
  readonly #points = new Map<PointId, Point>();
  #nextId: PointId;
  #usedBytes = 0;
  #leafCount = 1;
  root: Point;
  head: Point;
  tip: Point;

  /** A tree of one point. */
  constructor(fields: PointFields, firstId: PointId = 1) {
    this.#nextId = firstId;
    this.root = this.#make(fields, null, null);
    this.head = this.root;
    this.tip = this.root;
  }

  /**
   * A tree of points that were in one, the root first and parents before children. Throws `format-range` when they cannot
   * have been.
   */
  static rebuild(points: readonly RebuiltPoint[], nextId: PointId): Timeline {
    const [root, ...others] = points;
    const refuse = (point: PointId): never => {
      throw new VitrineError('format-range', { record: 'rewind index', field: 'point', point });
    };
    if (root === undefined || root.parent !== null || root.id < 1) return refuse(0);
    const tree = new Timeline(root, root.id);
    tree.root.label = root.label;
    for (const { id, parent, label, delta, ...fields } of others) {
      const above = parent === null ? undefined : tree.find(parent);
      if (above === undefined || delta === null || id < tree.#nextId) return refuse(id);
      tree.#nextId = id;
      tree.add(above, delta, fields).label = label;
    }
    if (nextId < tree.#nextId) refuse(nextId);
    tree.#nextId = nextId;
    return tree;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get nextId(): PointId {
    return this.#nextId;
  }

  get size(): number {
    return this.#points.size;
  }

  /** Futures that were left: ends of the tree that are not the tip. */
  get branchCount(): number {
    return this.tip.children.length > 0 ? this.#leafCount : this.#leafCount - 1;
  }

  /** All points, oldest first. */
  points(): IterableIterator<Point> {
    return this.#points.values();
  }

  find(id: PointId): Point | undefined {
    return this.#points.get(id);
  }

  /** A new point after `parent`. */
  add(parent: Point, delta: Delta, fields: PointFields): Point {
    return this.#make(fields, parent, delta);
  }

  /** Takes a point out that has a parent and one child; `delta` leads from the one to the other. */
  merge(point: Point, delta: Delta): void {
    const { parent, children } = point;
    const [child] = children;
    assert(
      parent !== null && child !== undefined && children.length === 1,
      'a merged point lies between two',
    );
    this.#usedBytes += delta.sizeBytes - point.delta!.sizeBytes - child.delta!.sizeBytes;
    child.delta = delta;
    child.parent = parent;
    parent.children[parent.children.indexOf(point)] = child;
    this.#forget(point);
  }

  /** Takes the root out, which has one child; that is the root then. */
  dropRoot(): void {
    const { root } = this;
    const [child] = root.children;
    assert(child !== undefined && root.children.length === 1, 'a root is dropped for its one child');
    this.#usedBytes -= child.delta!.sizeBytes;
    child.delta = null;
    child.parent = null;
    this.root = child;
    this.#forget(root);
  }

  /** Takes a point out that has no children. */
  dropLeaf(point: Point): void {
    const { parent } = point;
    assert(parent !== null && point.children.length === 0, 'a leaf hangs on something');
    this.#usedBytes -= point.delta!.sizeBytes;
    parent.children.splice(parent.children.indexOf(point), 1);
    if (parent.children.length > 0) this.#leafCount--;
    this.#forget(point);
  }

  /** From the root to the tip. */
  line(): Point[] {
    return wayUp(this.tip).reverse();
  }

  /** From the root to the tip and to the head, as a set. */
  trunk(): Set<Point> {
    return new Set([...wayUp(this.tip), ...wayUp(this.head)]);
  }

  /** The deltas that lead from one point to another. */
  way(from: Point, to: Point): Delta[] {
    const up = wayUp(from);
    const down = wayUp(to);
    while (up.length > 0 && down.length > 0 && up.at(-1) === down.at(-1)) {
      up.pop();
      down.pop();
    }
    return [...up, ...down.reverse()].map((point) => point.delta!);
  }

  /** The newest end of the futures that lead through a point. */
  endOf(point: Point): Point {
    let end = point;
    for (;;) {
      const next = end.children.reduce<Point | null>(
        (newest, child) => (newest === null || newestBelow(child) > newestBelow(newest) ? child : newest),
        null,
      );
      if (next === null) return end;
      end = next;
    }
  }

  #make(fields: PointFields, parent: Point | null, delta: Delta | null): Point {
    const { shape, atMs, wallMs } = fields;
    const rest = { parent, children: [], delta, label: null };
    const point: Point = { id: this.#nextId++, shape, atMs, wallMs, ...rest };
    if (parent !== null && parent.children.push(point) > 1) this.#leafCount++;
    this.#points.set(point.id, point);
    this.#usedBytes += POINT_BYTES + (delta?.sizeBytes ?? 0);
    return point;
  }

  #forget(point: Point): void {
    this.#points.delete(point.id);
    this.#usedBytes -= POINT_BYTES;
  }
}

/** A point and all before it, up to the root. */
export function wayUp(point: Point): Point[] {
  const way: Point[] = [];
  for (let at: Point | null = point; at !== null; at = at.parent) way.push(at);
  return way;
}

/** The highest id below a point, itself included: ids grow with time. */
function newestBelow(point: Point): PointId {
  let newest = point.id;
  const open = [point];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    newest = Math.max(newest, at.id);
    open.push(...at.children);
  }
  return newest;
}

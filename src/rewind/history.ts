// Points within a budget: instants are encoded and let in, and older ones make room for them first. The budget is never
// exceeded by what the tree holds; an instant that is being encoded is not in it yet.
//
// An instant that bookmarks leave no room for waits, with everything after it, until one is forgotten; the tree then ends
// before it, and the way from the guest to any point leads through what waits.

import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import type { Codecs } from '../codec/codec.ts';
import { type Breathe, composeDeltas, type Delta, DeltaWriter } from './delta.ts';
import type { Change } from './intake.ts';
import type { Reported, RewindPoint, RewindTally } from './rewind-report.ts';
import { Thinning, type ThinningStep, unyieldingBytes } from './thinning.ts';
import { POINT_BYTES, type Point, type PointFields, type PointId, Timeline } from './timeline.ts';

/** An instant that was taken: what it changed and what its point will be. */
export interface Taken {
  readonly change: Change;
  readonly fields: PointFields;
  /** Where it is in the tree, once it was admitted. */
  point?: Point;
}

/** What became of an instant. */
export type Admitted = 'new' | 'unchanged' | 'full';

export interface HistoryOptions {
  readonly codecs: Codecs;
  readonly budgetBytes: number;
  readonly maxPoints: number;
  readonly whenFull: 'hold' | 'forget';
}

export class History implements Reported {
  readonly #options: HistoryOptions;
  readonly #tally: RewindTally;
  readonly #thinning = new Thinning();
  #tree!: Timeline;
  #waiting: { readonly delta: Delta; readonly fields: PointFields } | null = null;

  constructor(options: HistoryOptions, tally: RewindTally) {
    this.#options = options;
    this.#tally = tally;
  }

  /** Starts with one point, forgetting all others. Their ids do not come again. */
  begin(fields: PointFields): void {
    this.#tree = new Timeline(fields, this.#tree?.nextId);
    this.#waiting = null;
  }

  /** Starts with a tree that was stored; the guest is at `head` and goes on from there. */
  async beginWith(tree: Timeline, head: Point, breathe: Breathe): Promise<void> {
    tree.head = head;
    tree.tip = head;
    this.#tree = tree;
    await this.#makeRoom(0, null, breathe);
    this.#tally.peakBytes = tree.usedBytes;
  }

  get tree(): Timeline {
    return this.#tree;
  }

  get head(): Point {
    return this.#tree.head;
  }

  get budgetBytes(): number {
    return this.#options.budgetBytes;
  }

  get usedBytes(): number {
    return this.#tree.usedBytes;
  }

  get size(): number {
    return this.#tree.size;
  }

  get bookmarks(): number {
    return this.#labelled().length;
  }

  get branches(): number {
    return this.#tree.branchCount;
  }

  get oldest(): RewindPoint {
    return this.#describe(this.#tree.root, true);
  }

  get newest(): RewindPoint {
    return this.#describe(this.#tree.tip, true);
  }

  find(id: PointId): Point | undefined {
    return this.#tree.find(id);
  }

  list(branches: boolean): RewindPoint[] {
    const line = this.#tree.line();
    if (!branches) return line.map((point) => this.#describe(point, true));
    const timeline = new Set(line);
    return Array.from(this.#tree.points(), (point) => this.#describe(point, timeline.has(point)));
  }

  /** The deltas from where the guest is to a point. */
  wayTo(target: Point): Delta[] {
    const way = this.#tree.way(this.#tree.head, target);
    return this.#waiting === null ? way : [this.#waiting.delta, ...way];
  }

  /** The guest is at a point now; what waited was left. */
  settleAt(target: Point): void {
    const tree = this.#tree;
    this.#waiting = null;
    tree.head = target;
    if (!tree.line().includes(target)) tree.tip = tree.endOf(target);
  }

  /** The guest goes on from the head: the future of the timeline starts there. */
  settleTip(): void {
    this.#tree.tip = this.#tree.head;
  }

  /** Throws `argument-invalid`, `rewind-full`. */
  bookmark(point: Point, label: string): void {
    const labelBytes = new TextEncoder().encode(label).length;
    if (labelBytes === 0 || labelBytes > LIMITS.maxLabelBytes) {
      throw new VitrineError('argument-invalid', { name: 'label', maxBytes: LIMITS.maxLabelBytes });
    }
    const others = this.#labelled().filter((one) => one !== point);
    const neededBytes = Math.ceil(unyieldingBytes(this.#tree, [...others, point]));
    const { budgetBytes } = this.#options;
    if (neededBytes > budgetBytes / 2) throw new VitrineError('rewind-full', { neededBytes, budgetBytes });
    point.label = label;
  }

  fullError(): VitrineError {
    const neededBytes = this.#tree.usedBytes + (this.#waiting?.delta.sizeBytes ?? 0) + POINT_BYTES;
    return new VitrineError('rewind-full', { neededBytes, budgetBytes: this.#options.budgetBytes });
  }

  /** Gives an instant its point, after the head. `target` does not make room for it. */
  async admit({ change, fields }: Taken, target: Point | null, breathe: Breathe): Promise<Admitted> {
    try {
      const delta = await this.#encode(change, breathe);
      if (delta.parts.length === 0 && fields.shape === this.#tree.head.shape) return 'unchanged';
      const waiting = this.#waiting?.delta;
      const both =
        waiting === undefined ? delta : await composeDeltas(waiting, delta, this.#options.codecs, breathe);
      this.#waiting = { delta: both, fields };
    } catch (error) {
      // Without this change nothing before it can be reached.
      this.#tally.restarts++;
      this.begin(fields);
      throw error;
    }
    return (await this.admitWaiting(breathe, target)) ? 'new' : 'full';
  }

  /** Lets in what waits. Returns whether there is room now. */
  async admitWaiting(breathe: Breathe, target: Point | null = null): Promise<boolean> {
    if (this.#waiting === null) return true;
    const { delta, fields } = this.#waiting;
    const hasRoom = await this.#makeRoom(delta.sizeBytes + POINT_BYTES, target, breathe);
    if (!hasRoom) {
      if (this.#labelled().length > 0) return false;
      this.#tally.restarts++;
      this.begin(fields);
      return true;
    }
    this.#waiting = null;
    const tree = this.#tree;
    const point = tree.add(tree.head, delta, fields);
    tree.head = point;
    tree.tip = point;
    this.#tally.peakBytes = Math.max(this.#tally.peakBytes, tree.usedBytes);
    return true;
  }

  async #makeRoom(neededBytes: number, target: Point | null, breathe: Breathe): Promise<boolean> {
    const { budgetBytes, maxPoints, whenFull } = this.#options;
    const tree = this.#tree;
    const spared = new Set(target === null ? [] : [target]);
    // One change alone may be too large: what was before it cannot be reached any more, however thin it is.
    while (tree.usedBytes + neededBytes > budgetBytes || tree.size >= maxPoints) {
      if (neededBytes + POINT_BYTES > budgetBytes && this.#labelled().length === 0) return false;
      const step = this.#thinning.choose(tree, spared);
      if (step !== null) {
        await this.#thin(step, breathe);
        continue;
      }
      const oldestBookmark = whenFull === 'forget' ? this.#labelled()[0] : undefined;
      if (oldestBookmark === undefined) return false;
      oldestBookmark.label = null;
      this.#tally.bookmarksForgotten++;
    }
    return true;
  }

  async #thin(step: ThinningStep, breathe: Breathe): Promise<void> {
    const tree = this.#tree;
    if (step.kind === 'drop-root') {
      tree.dropRoot();
      this.#tally.dropped++;
    } else if (step.kind === 'drop-leaf') {
      tree.dropLeaf(step.point);
      this.#tally.dropped++;
    } else {
      const before = step.point.delta!;
      const after = step.point.children[0]!.delta!;
      const both = await composeDeltas(before, after, this.#options.codecs, breathe);
      if (both.sizeBytes >= before.sizeBytes + after.sizeBytes + POINT_BYTES) {
        this.#thinning.refuse(step.point);
        return;
      }
      tree.merge(step.point, both);
      this.#tally.merged++;
    }
    await breathe();
  }

  async #encode(change: Change, breathe: Breathe): Promise<Delta> {
    const writer = new DeltaWriter(this.#options.codecs);
    const units = [...change.units].sort(([a], [b]) => a - b);
    for (const [unit, pages] of units) {
      for (const page of Uint32Array.from(pages.keys()).sort()) {
        if (writer.add(unit, page, pages.get(page)!)) await breathe();
      }
    }
    return writer.finish();
  }

  /** Bookmarks, oldest first. */
  #labelled(): Point[] {
    return [...this.#tree.points()].filter(({ label }) => label !== null);
  }

  #describe(point: Point, onTimeline: boolean): RewindPoint {
    const { id, atMs, wallMs, label, children } = point;
    const isHead = point === this.#tree.head;
    return { id, atMs, wallMs, label, onTimeline, isEnd: children.length === 0, isHead };
  }
}

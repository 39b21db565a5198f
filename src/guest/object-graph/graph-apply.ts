// Carries a plan out: brings every object of the inventory to what the plan says, and makes those that the inventory does
// not have. What is as it should be already is read and not written, so that going back to a near point is quick.
//
// All or nothing: an object that refuses (frozen since, a setter that throws) has everything before it undone.

import { equalBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { equalTexts, type FieldLayout } from './field-layout.ts';
import { type GraphPlan, HOLE, NewNode, type NodePlan } from './graph-plan.ts';
import type { Inventory, KnownNode } from './inventory.ts';
import { KIND, makeView } from './node-kind.ts';

type Fields = Record<string, unknown>;

/** Throws `guest-state-invalid`, and then nothing has changed. */
export function applyPlan(plan: GraphPlan, inventory: Inventory): void {
  new Applier(plan, inventory).apply();
}

class Applier {
  readonly #plan: GraphPlan;
  readonly #inventory: Inventory;
  readonly #undo: (() => void)[] = [];
  #made: object[] = [];

  constructor(plan: GraphPlan, inventory: Inventory) {
    this.#plan = plan;
    this.#inventory = inventory;
  }

  apply(): void {
    const { nodes, layouts } = this.#inventory;
    let path = '';
    try {
      this.#makeAll();
      for (let id = 0; id < nodes.length; id++) {
        const node = nodes[id]!;
        path = node.path;
        this.#bring(node, layouts[id]!, this.#plan.known[id]!);
      }
    } catch (cause) {
      for (const undo of this.#undo.reverse()) undo();
      throw new VitrineError('guest-state-invalid', { record: 'graph', path }, { cause });
    }
  }

  /** Makes the new objects, then fills them: they may name each other. Buffers come before what looks into them. */
  #makeAll(): void {
    const { made } = this.#plan;
    if (made.length === 0) return;
    this.#made = made.map((one) => (one.kind === KIND.view ? NOT_YET : this.#make(one)));
    for (const [index, { view, values }] of made.entries()) {
      if (view === null) continue;
      const buffer = this.#actual(values[0]) as ArrayBufferLike;
      this.#made[index] = makeView(view.id, buffer, view.offsetBytes, view.length);
    }
    for (const [index, one] of made.entries()) this.#fill(this.#made[index]!, one);
  }

  #make({ kind, prototype, bytes, values }: NodePlan): object {
    if (bytes !== null) return bytes.slice().buffer;
    const object: object =
      kind === KIND.array
        ? []
        : kind === KIND.map
          ? new Map()
          : kind === KIND.set
            ? new Set()
            : kind === KIND.date
              ? new Date(values[0] as number)
              : {};
    const wanted = this.#inventory.prototypes[prototype]!;
    return Object.getPrototypeOf(object) === wanted ? object : Object.setPrototypeOf(object, wanted);
  }

  /** Gives a new object, which nobody has seen yet, what it holds. */
  #fill(object: object, { kind, fields, values }: NodePlan): void {
    if (kind === KIND.object) {
      for (const [i, field] of fields.entries()) define(object, field, this.#actual(values[i]));
    } else if (kind === KIND.array) {
      const array = object as unknown[];
      array.length = values.length;
      for (const [i, value] of values.entries()) if (value !== HOLE) array[i] = this.#actual(value);
    } else if (kind === KIND.map) this.#fillMap(object as Map<unknown, unknown>, values);
    else if (kind === KIND.set) for (const value of values) (object as Set<unknown>).add(this.#actual(value));
  }

  #bring(node: KnownNode, layout: FieldLayout, { kind, fields, values, bytes }: NodePlan): void {
    const { object } = node;
    if (kind === KIND.object) {
      this.#arrange(object as Fields, layout, fields);
      this.#bringFields(object as Fields, fields, values);
    } else if (kind === KIND.array) this.#bringArray(object as unknown[], values);
    else if (kind === KIND.map) this.#bringMap(object as Map<unknown, unknown>, values);
    else if (kind === KIND.set) this.#bringSet(object as Set<unknown>, values);
    else if (kind === KIND.buffer) this.#bringBytes(node.bytes, bytes);
    else if (kind === KIND.date) this.#bringDate(object as Date, values[0] as number);
  }

  #bringFields(object: Fields, fields: readonly string[], values: readonly unknown[]): void {
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!;
      const planned = values[i];
      const before = object[field];
      // Most are as they should be; 0 and -0 are told apart.
      if (before === planned && planned !== 0) continue;
      const value = this.#actual(planned);
      if (Object.is(before, value)) continue;
      object[field] = value;
      this.#undo.push(() => {
        object[field] = before;
      });
    }
  }

  /** Gives an object these fields in this order, whatever they hold. Places of the host stay. */
  #arrange(object: Fields, layout: FieldLayout, fields: readonly string[]): void {
    const present = layout.now();
    if (present === fields || equalTexts(present, fields)) return;
    const before = present.map((field) => [field, object[field]] as const);
    this.#undo.push(() => {
      for (const field of fields) delete object[field];
      for (const [field] of before) delete object[field];
      for (const [field, value] of before) define(object, field, value);
    });
    for (const field of present) delete object[field];
    const held = new Map(before);
    for (const field of fields) define(object, field, held.get(field));
  }

  #bringArray(array: unknown[], values: readonly unknown[]): void {
    let before: unknown[] | undefined;
    const change = (): void => {
      if (before !== undefined) return;
      const kept = array.slice();
      before = kept;
      this.#undo.push(() => {
        array.length = 0;
        array.length = kept.length;
        for (const index of kept.keys()) if (index in kept) array[index] = kept[index];
      });
    };
    if (array.length !== values.length) {
      change();
      array.length = values.length;
    }
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      if (value === array[i] && value !== 0 && value !== undefined) continue;
      if (value === HOLE) {
        if (!(i in array)) continue;
        change();
        delete array[i];
        continue;
      }
      const actual = this.#actual(value);
      if (Object.is(array[i], actual) && (actual !== undefined || i in array)) continue;
      change();
      array[i] = actual;
    }
  }

  #bringMap(map: Map<unknown, unknown>, values: readonly unknown[]): void {
    const present: unknown[] = [];
    for (const [key, value] of map) present.push(key, value);
    if (this.#isEqual(present, values)) return;
    map.clear();
    this.#undo.push(() => {
      map.clear();
      for (let i = 0; i < present.length; i += 2) map.set(present[i], present[i + 1]);
    });
    this.#fillMap(map, values);
  }

  #fillMap(map: Map<unknown, unknown>, values: readonly unknown[]): void {
    for (let i = 0; i < values.length; i += 2) map.set(this.#actual(values[i]), this.#actual(values[i + 1]));
  }

  #bringSet(set: Set<unknown>, values: readonly unknown[]): void {
    const present = [...set];
    if (this.#isEqual(present, values)) return;
    set.clear();
    this.#undo.push(() => {
      set.clear();
      for (const value of present) set.add(value);
    });
    for (const value of values) set.add(this.#actual(value));
  }

  #bringDate(date: Date, time: number): void {
    const before = date.getTime();
    if (Object.is(before, time)) return;
    date.setTime(time);
    this.#undo.push(() => date.setTime(before));
  }

  #bringBytes(bytes: Uint8Array | null, wanted: Uint8Array | null): void {
    if (bytes === null || wanted === null || equalBytes(bytes, wanted)) return;
    const before = bytes.slice();
    bytes.set(wanted);
    this.#undo.push(() => bytes.set(before));
  }

  #isEqual(present: readonly unknown[], values: readonly unknown[]): boolean {
    if (present.length !== values.length) return false;
    return present.every((value, i) => Object.is(value, this.#actual(values[i])));
  }

  #actual(value: unknown): unknown {
    return value instanceof NewNode ? this.#made[value.index] : value;
  }
}

const NOT_YET = {};

/** Adds a field, never through a setter of the class. */
function define(object: object, field: string, value: unknown): void {
  Object.defineProperty(object, field, { value, writable: true, enumerable: true, configurable: true });
}

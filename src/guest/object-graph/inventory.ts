// What there is in an emulator when it is new: every object that can be reached from its root, every function, every class.
//
// A restore writes into these objects and never replaces them, so that closures and handles that hold on to one hold the
// right one afterwards. Functions are not saved; one that was there at the start is named by its place in this inventory,
// and is the same one after a restore. Two instances made in the same way have equal inventories: `digest` says so.
//
// Not seen, since JavaScript does not show it: variables of closures, private #fields, generators that stand still.

import { toHex } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { blake3 } from '../../kernel/blake3.ts';
import { FieldLayout } from './field-layout.ts';
import { isBuffer, KIND, type Kind, kindOf, viewIdOf } from './node-kind.ts';

/** More objects than this are not an emulator: something leads out of it, into the platform. */
const MAX_NODES = 200_000;

/** An object that was there from the start. */
export interface KnownNode {
  readonly object: object;
  readonly kind: Kind;
  /** The shortest way to it from the root: `uart.0.rxFIFO`. */
  readonly path: string;
  /** Of an object: its fields in their order, without wiring, accessors and constants. */
  readonly fields: readonly string[];
  /** Of an object: fields that are never saved. */
  readonly hidden: ReadonlySet<string>;
  /** Of a buffer: its bytes, or null when they are in a region. */
  readonly bytes: Uint8Array | null;
}

export interface InventoryOptions {
  /** Buffers whose bytes are in regions: they are not saved here. */
  readonly regionBuffers: readonly ArrayBufferLike[];
  /**
   * Places that belong to the host and not to the machine: listeners, loggers, handles. They are neither saved nor
   * changed. `*` stands for one step: `uart.*.onByte`.
   */
  readonly wiring: readonly string[];
  /** Classes of objects that are made only later. */
  readonly classes: readonly (abstract new (
    ...args: never[]
  ) => object)[];
}

type AnyFunction = (...args: never[]) => unknown;

export class Inventory {
  readonly nodes: readonly KnownNode[];
  readonly layouts: readonly FieldLayout[];
  readonly nodeIds = new Map<object, number>();
  readonly functions: AnyFunction[] = [];
  readonly functionIds = new Map<unknown, number>();
  readonly functionPaths: string[] = [];
  /** Prototypes by id; the first is null. */
  readonly prototypes: (object | null)[] = [null, Object.prototype, Array.prototype];
  readonly prototypeIds: Map<object | null, number>;
  /** Names the shape of all of this, 64 hexadecimal digits. */
  readonly digest: string;
  readonly #wiring: readonly RegExp[];

  /** Throws `unsupported` with the path of what cannot be saved. */
  constructor(root: object, options: InventoryOptions) {
    this.#wiring = options.wiring.map(patternOf);
    for (const { prototype } of [Map, Set, Date]) this.prototypes.push(prototype);
    for (const { prototype } of options.classes) this.prototypes.push(prototype);
    this.prototypeIds = new Map(this.prototypes.map((prototype, id) => [prototype, id]));
    this.nodes = this.#walk(root, new Set<object>(options.regionBuffers));
    this.layouts = this.nodes.map((node) => new FieldLayout(node, (path) => this.isWiring(path)));
    // Methods come last: what an object holds is the better name for a function.
    for (const [id, prototype] of this.prototypes.entries()) this.#addMethods(prototype, id);
    this.digest = this.#digest();
  }

  /** Whether a place belongs to the host. */
  isWiring(path: string): boolean {
    return this.#wiring.some((pattern) => pattern.test(path));
  }

  #walk(root: object, regionBuffers: ReadonlySet<object>): KnownNode[] {
    const found: { readonly object: object; readonly path: string }[] = [];
    const meet = (value: unknown, path: string): void => {
      if (typeof value === 'function') this.#addFunction(value as AnyFunction, path);
      if (typeof value === 'symbol') throw unsupported(path, 'symbol');
      if (typeof value !== 'object' || value === null || this.nodeIds.has(value)) return;
      if (found.length === MAX_NODES) throw unsupported(path, `more than ${MAX_NODES} objects`);
      this.nodeIds.set(value, found.length);
      found.push({ object: value, path });
    };
    meet(root, '');
    const nodes: KnownNode[] = [];
    // The list grows while it is walked: breadth first, so that paths are short.
    for (const { object, path } of found) {
      const kind = kindOf(object);
      if (typeof kind === 'string') throw unsupported(path, kind);
      const { fields, hidden } = kind === KIND.object ? this.#fieldsOf(object, path) : NO_FIELDS;
      this.#addPrototypes(object, kind);
      for (const [value, step] of childrenOf(object, kind, fields, hidden)) {
        if (!this.isWiring(joinPath(path, step))) meet(value, joinPath(path, step));
      }
      const isOwn = isBuffer(object) && !regionBuffers.has(object);
      nodes.push({ object, kind, path, fields, hidden, bytes: isOwn ? new Uint8Array(object) : null });
    }
    return nodes;
  }

  #fieldsOf(object: object, path: string): Pick<KnownNode, 'fields' | 'hidden'> {
    const hidden = new Set<string>();
    const keys = Object.keys(object);
    for (const key of keys) {
      const { writable = false } = Object.getOwnPropertyDescriptor(object, key)!;
      if (!writable || this.isWiring(joinPath(path, key))) hidden.add(key);
    }
    return { fields: keys.filter((key) => !hidden.has(key)), hidden };
  }

  #addFunction(value: AnyFunction, path: string): void {
    if (this.functionIds.has(value)) return;
    this.functionIds.set(value, this.functions.length);
    this.functions.push(value);
    this.functionPaths.push(path);
  }

  #addPrototypes(object: object, kind: Kind): void {
    if (kind === KIND.view || kind === KIND.buffer) return;
    let prototype: object | null = Object.getPrototypeOf(object);
    while (!this.prototypeIds.has(prototype)) {
      this.prototypeIds.set(prototype, this.prototypes.length);
      this.prototypes.push(prototype);
      prototype = Object.getPrototypeOf(prototype);
    }
  }

  #addMethods(prototype: object | null, id: number): void {
    if (prototype === null || BUILT_IN.has(prototype)) return;
    for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (typeof value === 'function') this.#addFunction(value, `class ${id}.${key}`);
    }
  }

  /** No class names: bundlers change them. */
  #digest(): string {
    const lines = this.nodes.map(({ object, kind, path, fields, bytes }) => {
      const prototype = this.prototypeIds.get(Object.getPrototypeOf(object)) ?? -1;
      return [path, kind, prototype, fields.join(), bytes?.length ?? -1, ...viewShape(object, this.nodeIds)];
    });
    const digest = new Uint8Array(32);
    blake3(new TextEncoder().encode(JSON.stringify([lines, this.functionPaths])), digest);
    return toHex(digest);
  }
}

const NO_FIELDS: Pick<KnownNode, 'fields' | 'hidden'> = { fields: [], hidden: new Set() };
const BUILT_IN = new Set<object>([Object, Array, Map, Set, Date].map(({ prototype }) => prototype as object));

/** The refusal of something that cannot be saved. */
export function unsupported(path: string, missing: string): VitrineError {
  return new VitrineError('unsupported', { path: path === '' ? 'the root' : path, missing });
}

export function joinPath(path: string, step: string | number): string {
  return path === '' ? String(step) : `${path}.${step}`;
}

/** What an object leads to, with the step there. Constants are led to, accessors are not asked. */
function* childrenOf(
  object: object,
  kind: Kind,
  fields: readonly string[],
  hidden: ReadonlySet<string>,
): Generator<readonly [unknown, string | number]> {
  if (object instanceof Map) {
    let index = 0;
    for (const [key, value] of object) {
      yield [key, `key ${index}`];
      yield [value, `value ${index++}`];
    }
  } else if (object instanceof Set || Array.isArray(object)) {
    let index = 0;
    for (const value of object) yield [value, index++];
  } else if (ArrayBuffer.isView(object)) yield [object.buffer, 'buffer'];
  else if (kind === KIND.object) {
    for (const key of fields) yield [Reflect.get(object, key), key];
    for (const key of hidden) yield [Object.getOwnPropertyDescriptor(object, key)!.value, key];
  }
}

function viewShape(object: object, ids: ReadonlyMap<object, number>): number[] {
  if (!ArrayBuffer.isView(object)) return [];
  return [viewIdOf(object), ids.get(object.buffer)!, object.byteOffset, object.byteLength];
}

function patternOf(place: string): RegExp {
  const steps = place.split('.').map((step) => (step === '*' ? '[^.]+' : step.replace(/\W/g, '\\$&')));
  return new RegExp(`^${steps.join('\\.')}$`);
}

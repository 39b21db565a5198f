// A graph as it stands in a device record, read and checked: what to write into which object. Nothing is changed by reading.
//
// Records come from files. Every length is checked against the bytes that are there, every id against what it may name; a
// record may name no place that belongs to the host. What it can do is what the emulator itself could be brought to.

import { equalBytes, type OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { digestStart, GRAPH_HEADER_BYTES, GRAPH_MAGIC, TAG } from './graph-writer.ts';
import { type Inventory, joinPath, type KnownNode } from './inventory.ts';
import { elementBytesOf, isBuffer, KIND, type Kind, kindOfClass } from './node-kind.ts';

/** A place in an array that holds nothing. */
export const HOLE = Symbol('hole');

/** An object that is made when the plan is carried out. */
export class NewNode {
  readonly index: number;

  constructor(index: number) {
    this.index = index;
  }
}

/** What becomes of one object. */
export interface NodePlan {
  readonly kind: Kind;
  /** Of an object: its fields in order. */
  readonly fields: readonly string[];
  /** Fields, elements, or keys and values in turn; `NewNode` stands for an object that is made. Of a date, its time. */
  readonly values: readonly unknown[];
  /** Of a buffer: what it holds; null where a region holds it. */
  readonly bytes: OwnedBytes | null;
  /** Of a new object: the id of its class. */
  readonly prototype: number;
  /** Of a new view: class, offset and length; its buffer is the one value. */
  readonly view: { readonly id: number; readonly offsetBytes: number; readonly length: number } | null;
}

export interface GraphPlan {
  /** By id in the inventory. */
  readonly known: readonly NodePlan[];
  readonly made: readonly NodePlan[];
}

const NOTHING = { fields: [], values: [], bytes: null, prototype: -1, view: null } as const;

/** Reads a record. Throws `guest-state-invalid`. */
export function readPlan(bytes: OwnedBytes, inventory: Inventory): GraphPlan {
  return new PlanReader(bytes, inventory).read();
}

class PlanReader {
  readonly #bytes: OwnedBytes;
  readonly #view: DataView;
  readonly #inventory: Inventory;
  #at = 0;
  #newCount = 0;

  constructor(bytes: OwnedBytes, inventory: Inventory) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#inventory = inventory;
  }

  read(): GraphPlan {
    if (this.#bytes.length < GRAPH_HEADER_BYTES || this.#u32() !== GRAPH_MAGIC) throw this.#refuse('magic');
    if (!equalBytes(this.#take(16), digestStart(this.#inventory))) throw this.#refuse('inventory');
    // Two bytes are the least that a new object takes.
    this.#newCount = this.#count(2);
    const known = this.#inventory.nodes.map((node) => this.#known(node));
    const made: NodePlan[] = [];
    for (let i = 0; i < this.#newCount; i++) made.push(this.#new());
    if (this.#at !== this.#bytes.length) throw this.#refuse('end');
    for (const plan of made) this.#checkView(plan, made);
    return { known, made };
  }

  #known(node: KnownNode): NodePlan {
    const { kind, fields, bytes } = node;
    if (kind === KIND.buffer) {
      return { ...NOTHING, kind, bytes: bytes === null ? null : this.#take(bytes.length) };
    }
    if (kind === KIND.view) return { ...NOTHING, kind };
    if (kind !== KIND.object) return this.#body(kind, -1);
    const names = this.#u8() === 0 ? fields : this.#names(node);
    return { ...NOTHING, kind, fields: names, values: this.#values(names.length) };
  }

  #new(): NodePlan {
    const kind = this.#u8();
    if (kind === KIND.view) {
      const id = this.#u8();
      const buffer = this.#object();
      return {
        ...NOTHING,
        kind,
        values: [buffer],
        view: { id, offsetBytes: this.#f64(), length: this.#f64() },
      };
    }
    if (kind === KIND.buffer) return { ...NOTHING, kind, bytes: this.#take(this.#f64()) };
    const prototype = this.#u32();
    const { prototypes } = this.#inventory;
    if (prototype >= prototypes.length) throw this.#refuse('class');
    if (kindOfClass(prototypes[prototype]!) !== kind) throw this.#refuse('class');
    if (kind !== KIND.object) return this.#body(kind, prototype);
    if (this.#u8() !== 1) throw this.#refuse('fields');
    const fields = this.#names(undefined);
    return { ...NOTHING, kind, prototype, fields, values: this.#values(fields.length) };
  }

  #body(kind: number, prototype: number): NodePlan {
    if (kind === KIND.array || kind === KIND.set) {
      return { ...NOTHING, kind, prototype, values: this.#values(this.#count(1), kind === KIND.array) };
    }
    if (kind === KIND.map) return { ...NOTHING, kind, prototype, values: this.#values(2 * this.#count(2)) };
    if (kind !== KIND.date) throw this.#refuse('kind');
    return { ...NOTHING, kind, prototype, values: [this.#f64()] };
  }

  /** Names of fields: each once, and none that belongs to the host or is no field. */
  #names(node: KnownNode | undefined): string[] {
    const names: string[] = [];
    for (let left = this.#count(4); left > 0; left--) names.push(this.#text());
    if (new Set(names).size !== names.length) throw this.#refuse('field twice');
    for (const name of names) {
      const isHosts =
        node !== undefined && (node.hidden.has(name) || this.#inventory.isWiring(joinPath(node.path, name)));
      if (isHosts || name === '__proto__') throw this.#refuse('field');
    }
    return names;
  }

  #values(count: number, mayHaveHoles = false): unknown[] {
    const values: unknown[] = [];
    for (let i = 0; i < count; i++) values.push(this.#value(mayHaveHoles));
    return values;
  }

  #value(mayBeHole: boolean): unknown {
    switch (this.#u8()) {
      case TAG.undefined:
        return undefined;
      case TAG.null:
        return null;
      case TAG.false:
        return false;
      case TAG.true:
        return true;
      case TAG.int:
        return this.#u32() | 0;
      case TAG.f64:
        return this.#f64();
      case TAG.text:
        return this.#text();
      case TAG.bigint:
        return this.#bigint();
      case TAG.object:
        return this.#object();
      case TAG.function: {
        const id = this.#u32();
        if (id >= this.#inventory.functions.length) throw this.#refuse('function');
        return this.#inventory.functions[id];
      }
      case TAG.hole:
        if (mayBeHole) return HOLE;
    }
    throw this.#refuse('value');
  }

  #object(): object {
    const id = this.#u32();
    const { nodes } = this.#inventory;
    if (id >= nodes.length + this.#newCount) throw this.#refuse('object');
    return nodes[id]?.object ?? new NewNode(id - nodes.length);
  }

  #bigint(): bigint {
    const text = this.#text();
    if (!/^-?[0-9a-f]+$/.test(text)) throw this.#refuse('bigint');
    return text.startsWith('-') ? -BigInt(`0x${text.slice(1)}`) : BigInt(`0x${text}`);
  }

  /** A view must lie in a buffer, and at a place where its class allows it. */
  #checkView({ view, values }: NodePlan, made: readonly NodePlan[]): void {
    if (view === null) return;
    const [buffer] = values;
    const lengthBytes =
      buffer instanceof NewNode
        ? (made[buffer.index]?.bytes?.length ?? -1)
        : isBuffer(buffer as object)
          ? (buffer as ArrayBufferLike).byteLength
          : -1;
    const { id, offsetBytes, length } = view;
    const elementBytes = elementBytesOf(id);
    const fits =
      elementBytes !== undefined &&
      Number.isSafeInteger(offsetBytes) &&
      Number.isSafeInteger(length) &&
      offsetBytes >= 0 &&
      length >= 0 &&
      offsetBytes % elementBytes === 0 &&
      offsetBytes + length * elementBytes <= lengthBytes;
    if (!fits) throw this.#refuse('view');
  }

  /** A number of things of at least so many bytes each. */
  #count(leastBytes: number): number {
    const count = this.#u32();
    if (count * leastBytes > this.#bytes.length - this.#at) throw this.#refuse('count');
    return count;
  }

  #u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  #u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  #f64(): number {
    return this.#view.getFloat64(this.#advance(8), true);
  }

  #text(): string {
    const length = this.#u32();
    const start = this.#advance(2 * length);
    let text = '';
    for (let i = 0; i < length; i++) text += String.fromCharCode(this.#view.getUint16(start + 2 * i, true));
    return text;
  }

  #take(lengthBytes: number): OwnedBytes {
    const start = this.#advance(lengthBytes);
    return this.#bytes.subarray(start, start + lengthBytes);
  }

  #advance(lengthBytes: number): number {
    const start = this.#at;
    if (!Number.isSafeInteger(lengthBytes) || lengthBytes < 0 || lengthBytes > this.#bytes.length - start) {
      throw this.#refuse('length');
    }
    this.#at = start + lengthBytes;
    return start;
  }

  #refuse(field: string): VitrineError {
    return new VitrineError('guest-state-invalid', { record: 'graph', field, offsetBytes: this.#at });
  }
}

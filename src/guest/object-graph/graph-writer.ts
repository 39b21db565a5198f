// Writes a graph as bytes: the same bytes for the same state. Objects of the inventory first, in its order, whether they can
// still be reached or not; then the objects made since, in the order in which they are met.
//
//   | Offset | Size | Field                                                              |
//   |--------|------|--------------------------------------------------------------------|
//   | 0      | 4    | `OGRF`                                                             |
//   | 4      | 16   | first bytes of the inventory's digest                              |
//   | 20     | 4    | objects that are not in the inventory                              |
//   | 24     | …    | bodies of the known objects                                        |
//   | …      | …    | the others: a byte of kind, a u32 of class but for views, buffers; a body |
//
//   object  u8: 0 = the fields of the inventory, 1 = u32 count and the names follow; a value a field
//   array   u32 length, a value an element        map, set  u32 size, values in order
//   view    nothing when known, else u8 class, u32 buffer, f64 offset, f64 length
//   buffer  its bytes when known; else f64 length and bytes; nothing when they are in a region
//   date    f64
//
//   value   u8 tag, then: int 4 bytes, f64 8, text u32 length and UTF-16, bigint as text, object and function u32 id

import { fromHex, type OwnedBytes } from '../../base/bytes.ts';
import type { FieldLayout } from './field-layout.ts';
import { type Inventory, joinPath, type KnownNode, unsupported } from './inventory.ts';
import { isBuffer, KIND, type Kind, kindOf, viewIdOf } from './node-kind.ts';

export const GRAPH_MAGIC = 0x4652474f;
export const GRAPH_HEADER_BYTES = 24;

export const TAG = {
  undefined: 1,
  null: 2,
  false: 3,
  true: 4,
  int: 5,
  f64: 6,
  text: 7,
  bigint: 8,
  object: 9,
  function: 10,
  hole: 11,
} as const;

const FIRST_CAPACITY = 16 * 1024;

/** A graph may not grow past this: a queue that nobody empties is no device state. */
const MAX_BYTES = 1 << 30;

export class GraphWriter {
  readonly #inventory: Inventory;
  #bytes = new Uint8Array(FIRST_CAPACITY);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  /** Objects met that the inventory does not have, by id, with how they were reached. */
  #newIds = new Map<object, number>();
  #newNodes: { readonly object: object; readonly path: string }[] = [];
  /** The object that is being written: for messages alone, so that paths are put together when one is thrown. */
  #path = '';

  constructor(inventory: Inventory) {
    this.#inventory = inventory;
  }

  /** Throws `unsupported` with the path of a value that cannot be saved. */
  write(): OwnedBytes {
    this.#length = 0;
    this.#newIds = new Map();
    this.#newNodes = [];
    this.#u32(GRAPH_MAGIC);
    this.#raw(digestStart(this.#inventory));
    this.#u32(0);
    const { nodes, layouts } = this.#inventory;
    for (let id = 0; id < nodes.length; id++) this.#known(nodes[id]!, layouts[id]!);
    // The list grows while it is written.
    for (const { object, path } of this.#newNodes) this.#new(object, path);
    this.#view.setUint32(20, this.#newNodes.length, true);
    return this.#bytes.slice(0, this.#length);
  }

  #known(node: KnownNode, layout: FieldLayout): void {
    const { object, kind, bytes } = node;
    this.#path = node.path;
    switch (kind) {
      case KIND.object: {
        const fields = layout.now();
        const isAsAtFirst = fields === node.fields;
        this.#u8(isAsAtFirst ? 0 : 1);
        if (!isAsAtFirst) this.#names(fields);
        this.#fields(object as Record<string, unknown>, fields);
        break;
      }
      case KIND.buffer:
        if (bytes !== null) this.#raw(bytes);
        break;
      case KIND.view:
        break;
      default:
        this.#body(object, kind);
    }
  }

  #new(object: object, path: string): void {
    this.#path = path;
    const kind = kindOf(object);
    if (typeof kind === 'string') throw unsupported(path, kind);
    this.#u8(kind);
    if (kind === KIND.view) this.#newView(object as ArrayBufferView);
    else if (isBuffer(object)) {
      this.#f64(object.byteLength);
      this.#raw(new Uint8Array(object));
    } else {
      const prototype = this.#inventory.prototypeIds.get(Object.getPrototypeOf(object));
      if (prototype === undefined) {
        throw unsupported(path, `its class, ${object.constructor?.name ?? 'without a name'}`);
      }
      this.#u32(prototype);
      if (kind === KIND.object) {
        const names = Object.keys(object);
        this.#u8(1);
        this.#names(names);
        this.#fields(object as Record<string, unknown>, names);
      } else this.#body(object, kind);
    }
  }

  #newView(view: ArrayBufferView): void {
    const id = viewIdOf(view);
    if (id < 0) throw unsupported(this.#path, `its class, ${view.constructor.name}`);
    this.#u8(id);
    this.#u32(this.#idOf(view.buffer, 'buffer'));
    this.#f64(view.byteOffset);
    this.#f64('length' in view ? Number(view.length) : view.byteLength);
  }

  /** Arrays, maps, sets and dates, known or new. */
  #body(object: object, kind: Kind): void {
    if (kind === KIND.array) {
      const array = object as unknown[];
      this.#u32(array.length);
      for (let i = 0; i < array.length; i++) {
        const value = array[i];
        if (value === undefined && !(i in array)) this.#u8(TAG.hole);
        else this.#value(value, i);
      }
    } else if (kind === KIND.map) {
      const map = object as Map<unknown, unknown>;
      this.#u32(map.size);
      let index = 0;
      for (const [key, value] of map) {
        this.#value(key, `key ${index}`);
        this.#value(value, `value ${index++}`);
      }
    } else if (kind === KIND.set) {
      const set = object as Set<unknown>;
      this.#u32(set.size);
      let index = 0;
      for (const value of set) this.#value(value, index++);
    } else this.#f64((object as Date).getTime());
  }

  #fields(object: Record<string, unknown>, names: readonly string[]): void {
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      this.#value(object[name], name);
    }
  }

  #names(names: readonly string[]): void {
    this.#u32(names.length);
    for (const name of names) {
      if (name === '__proto__') throw unsupported(joinPath(this.#path, name), 'a field of that name');
      this.#text(name);
    }
  }

  #value(value: unknown, step: string | number): void {
    switch (typeof value) {
      case 'number':
        if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
          this.#u8(TAG.int);
          this.#u32(value);
        } else {
          this.#u8(TAG.f64);
          this.#f64(value);
        }
        return;
      case 'boolean':
        this.#u8(value ? TAG.true : TAG.false);
        return;
      case 'undefined':
        this.#u8(TAG.undefined);
        return;
      case 'string':
        this.#u8(TAG.text);
        this.#text(value);
        return;
      case 'bigint':
        this.#u8(TAG.bigint);
        this.#text(value.toString(16));
        return;
      case 'object':
        if (value === null) {
          this.#u8(TAG.null);
          return;
        }
        this.#u8(TAG.object);
        this.#u32(this.#idOf(value, step));
        return;
      case 'function': {
        const id = this.#inventory.functionIds.get(value);
        if (id === undefined) {
          throw unsupported(
            joinPath(this.#path, step),
            'a function that was not there when the guest was made',
          );
        }
        this.#u8(TAG.function);
        this.#u32(id);
        return;
      }
      default:
        throw unsupported(joinPath(this.#path, step), typeof value);
    }
  }

  #idOf(object: object, step: string | number): number {
    const known = this.#inventory.nodeIds.get(object) ?? this.#newIds.get(object);
    if (known !== undefined) return known;
    const id = this.#inventory.nodes.length + this.#newNodes.length;
    this.#newIds.set(object, id);
    this.#newNodes.push({ object, path: joinPath(this.#path, step) });
    return id;
  }

  #u8(value: number): void {
    if (this.#length + 1 > this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  #u32(value: number): void {
    if (this.#length + 4 > this.#bytes.length) this.#grow(4);
    this.#view.setInt32(this.#length, value, true);
    this.#length += 4;
  }

  /** Every NaN is written alike: which one it is cannot be seen from inside. */
  #f64(value: number): void {
    if (this.#length + 8 > this.#bytes.length) this.#grow(8);
    this.#view.setFloat64(this.#length, value, true);
    if (Number.isNaN(value)) this.#view.setBigUint64(this.#length, 0x7ff8_0000_0000_0000n, true);
    this.#length += 8;
  }

  #text(text: string): void {
    this.#u32(text.length);
    if (this.#length + 2 * text.length > this.#bytes.length) this.#grow(2 * text.length);
    for (let i = 0; i < text.length; i++, this.#length += 2) {
      this.#view.setUint16(this.#length, text.charCodeAt(i), true);
    }
  }

  #raw(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#bytes.length) this.#grow(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #grow(lengthBytes: number): void {
    const needed = this.#length + lengthBytes;
    if (needed > MAX_BYTES) throw unsupported(this.#path, `room: ${needed} bytes`);
    const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** What a record says of the inventory it belongs to. */
export function digestStart(inventory: Inventory): OwnedBytes {
  // Safe: the digest is hexadecimal.
  return fromHex(inventory.digest.slice(0, 32))!;
}

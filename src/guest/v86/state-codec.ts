// v86's state tree as bytes and back. v86 has a format of its own, which checks nothing and holds everything in one
// block; this one is exact (equal trees give equal bytes), checked, and puts each large buffer into a record of its own,
// so that one which did not change costs nothing in the next snapshot.
//
//   | Tag | Then                                                            |
//   |-----|-----------------------------------------------------------------|
//   | 0–3 | undefined, null, false, true                                    |
//   | 4   | i32                                                             |
//   | 5   | f64                                                             |
//   | 6   | u32 byte length, UTF-8                                          |
//   | 7   | u32 count, that many values                                     |
//   | 8   | u8 array kind, u32 byte length, the bytes                       |
//   | 9   | u32 count, that many keys and values                            |
//   | 10  | u8 array kind, u32 byte length, u8 name length, name in ASCII   |
//
// All numbers are little-endian. Tag 10 stands for a typed array whose bytes are the record of that name.

import { copyBytes, type OwnedBytes } from '../../base/bytes.ts';

/** Typed arrays from here on are records of their own. */
export const LARGE_BYTES = 4096;

const MAX_DEPTH = 32;

const ARRAY_KINDS = [
  Uint8Array,
  Int8Array,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
] as const;

/** Any typed array that v86 keeps state in. */
export type StateArray = InstanceType<(typeof ARRAY_KINDS)[number]>;

/** A value of the state tree. */
export type StateValue =
  | undefined
  | null
  | boolean
  | number
  | string
  | StateArray
  | StateValue[]
  | Map<StateValue, StateValue>;

/** Bytes of a state tree: the tree itself, and the large buffers by name. */
export interface EncodedState {
  readonly tree: OwnedBytes;
  readonly large: ReadonlyMap<string, OwnedBytes>;
}

/** What a decoder throws: bytes that are no state tree. The caller names the record. */
export class StateFormatError extends Error {}

/** The constructor of a typed array by its kind's name, undefined for other names. */
export function arrayKind(name: string): (typeof ARRAY_KINDS)[number] | undefined {
  return ARRAY_KINDS.find((kind) => kind.name === name);
}

/** Encodes a tree, whose large buffers are given away, not copied; `nameOf` gives their record names by their paths. */
export function encodeState(root: StateValue, nameOf: (path: string) => string): EncodedState {
  const writer = new Writer();
  const large = new Map<string, OwnedBytes>();
  const write = (value: StateValue, path: string): void => {
    if (value === undefined || value === null) writer.u8(value === undefined ? 0 : 1);
    else if (typeof value === 'boolean') writer.u8(value ? 3 : 2);
    else if (typeof value === 'number') writer.number(value);
    else if (typeof value === 'string') writer.text(6, value);
    else if (Array.isArray(value)) {
      writer.u8(7);
      writer.u32(value.length);
      // Indexed: v86's arrays have holes, which `entries` and a spread see and `forEach` does not.
      for (let i = 0; i < value.length; i++) write(value[i], path === '' ? `${i}` : `${path}.${i}`);
    } else if (value instanceof Map) {
      writer.u8(9);
      writer.u32(value.size);
      for (const [key, one] of value) {
        write(key, `${path}.key`);
        write(one, `${path}.${String(key)}`);
      }
    } else {
      // Safe: trees are built of copies, here and in the decoder, never of views on shared memory.
      const bytes = new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength);
      const kind = ARRAY_KINDS.findIndex((one) => value instanceof one);
      if (value.byteLength < LARGE_BYTES) writer.array(kind, bytes);
      else {
        const name = nameOf(path);
        writer.reference(kind, bytes.length, name);
        large.set(name, bytes);
      }
    }
  };
  write(root, '');
  return { tree: writer.take(), large };
}

/** Decodes a tree; every array in it is new. Throws `StateFormatError`, before it allocates more than there is. */
export function decodeState(tree: Uint8Array, large: ReadonlyMap<string, Uint8Array>): StateValue {
  const reader = new Reader(tree);
  const used = new Set<string>();
  const value = readValue(reader, large, used, 0);
  if (!reader.atEnd) throw new StateFormatError('bytes after the end');
  for (const name of large.keys()) {
    if (!used.has(name)) throw new StateFormatError(`record ${name} is not part of the state`);
  }
  return value;
}

function readValue(
  reader: Reader,
  large: ReadonlyMap<string, Uint8Array>,
  used: Set<string>,
  depth: number,
): StateValue {
  if (depth > MAX_DEPTH) throw new StateFormatError('nested too deep');
  const tag = reader.u8();
  switch (tag) {
    case 0:
      return undefined;
    case 1:
      return null;
    case 2:
      return false;
    case 3:
      return true;
    case 4:
      return reader.i32();
    case 5:
      return reader.f64();
    case 6:
      return reader.text(reader.u32());
    case 7: {
      const values: StateValue[] = [];
      for (let left = reader.count(); left > 0; left--)
        values.push(readValue(reader, large, used, depth + 1));
      return values;
    }
    case 8: {
      const kind = reader.u8();
      return arrayOf(kind, reader.bytes(reader.u32()));
    }
    case 9: {
      const map = new Map<StateValue, StateValue>();
      for (let left = reader.count(); left > 0; left--) {
        const key = readValue(reader, large, used, depth + 1);
        map.set(key, readValue(reader, large, used, depth + 1));
      }
      return map;
    }
    case 10: {
      const kind = reader.u8();
      const length = reader.u32();
      const name = reader.text(reader.u8());
      const bytes = large.get(name);
      if (bytes === undefined || used.has(name)) throw new StateFormatError(`record ${name} is missing`);
      if (bytes.length !== length) throw new StateFormatError(`record ${name} has ${bytes.length} bytes`);
      used.add(name);
      return arrayOf(kind, bytes);
    }
    default:
      throw new StateFormatError(`tag ${tag}`);
  }
}

function arrayOf(kind: number, bytes: Uint8Array): StateArray {
  const Kind = ARRAY_KINDS[kind];
  if (Kind === undefined || bytes.length % Kind.BYTES_PER_ELEMENT !== 0) {
    throw new StateFormatError(`array of kind ${kind} and ${bytes.length} bytes`);
  }
  return new Kind(copyBytes(bytes).buffer);
}

class Writer {
  #bytes = new Uint8Array(16384);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  u8(value: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }

  u32(value: number): void {
    this.#room(4);
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  number(value: number): void {
    this.#room(9);
    if ((value | 0) === value && !Object.is(value, -0)) {
      this.#bytes[this.#at] = 4;
      this.#view.setInt32(this.#at + 1, value, true);
      this.#at += 5;
    } else {
      this.#bytes[this.#at] = 5;
      this.#view.setFloat64(this.#at + 1, value, true);
      this.#at += 9;
    }
  }

  text(tag: number, value: string): void {
    this.u8(tag);
    const bytes = new TextEncoder().encode(value);
    this.u32(bytes.length);
    this.#append(bytes);
  }

  array(kind: number, bytes: Uint8Array): void {
    this.u8(8);
    this.u8(kind);
    this.u32(bytes.length);
    this.#append(bytes);
  }

  reference(kind: number, lengthBytes: number, name: string): void {
    this.u8(10);
    this.u8(kind);
    this.u32(lengthBytes);
    const bytes = new TextEncoder().encode(name);
    this.u8(bytes.length);
    this.#append(bytes);
  }

  take(): OwnedBytes {
    return this.#bytes.slice(0, this.#at);
  }

  #append(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #room(count: number): void {
    if (this.#at + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + count));
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** A count of values, each of which takes a byte at least. */
  count(): number {
    const count = this.u32();
    if (count > this.#bytes.length - this.#at) throw new StateFormatError(`count ${count}`);
    return count;
  }

  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  text(length: number): string {
    return new TextDecoder().decode(copyBytes(this.bytes(length)));
  }

  #take(length: number): number {
    const start = this.#at;
    if (length > this.#bytes.length - start) throw new StateFormatError(`cut off at ${start}`);
    this.#at += length;
    return start;
  }
}

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
// All numbers are little-endian. Tag 10 stands for a typed array whose bytes are the record of that name. Encoding is in
// `state-encoder.ts`.

import { copyBytes, type OwnedBytes } from '../../base/bytes.ts';

/** Typed arrays from here on are records of their own. */
export const LARGE_BYTES = 4096;

const MAX_DEPTH = 32;

/** In the order of their numbers in a tree. */
export const ARRAY_KINDS = [
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
  readonly layout: StateLayout;
}

/** Where the parts of a tree lie: the values of the array that is its first value. A tree of another shape has none. */
export interface StateLayout {
  /** Where each part starts, and at the end where the last one ends. */
  readonly offsets: readonly number[];
  /** The records that each part refers to. */
  readonly large: ReadonlyMap<number, readonly string[]>;
}

/** Parts that are not wanted. */
const NONE: ReadonlySet<number> = new Set();

/** What a decoder throws: bytes that are no state tree. The caller names the record. */
export class StateFormatError extends Error {}

/**
 * Decodes a tree; every array in it is new. Parts in `without` are left undefined.
 *
 * Throws `StateFormatError`, before it allocates more than there is.
 */
export function decodeState(
  tree: Uint8Array,
  large: ReadonlyMap<string, Uint8Array>,
  without: ReadonlySet<number> = NONE,
): { readonly value: StateValue; readonly layout: StateLayout } {
  const decoder = new Decoder(tree, large, without);
  const value = decoder.value(0, false);
  decoder.end();
  return { value, layout: decoder.layout };
}

class Decoder {
  readonly layout: { readonly offsets: number[]; readonly large: Map<number, string[]> } = {
    offsets: [],
    large: new Map(),
  };
  readonly #reader: Reader;
  readonly #large: ReadonlyMap<string, Uint8Array>;
  readonly #without: ReadonlySet<number>;
  readonly #used = new Set<string>();
  /** Nothing but the root, and what it begins with, was read yet. */
  #isFirst = true;

  constructor(tree: Uint8Array, large: ReadonlyMap<string, Uint8Array>, without: ReadonlySet<number>) {
    this.#reader = new Reader(tree);
    this.#large = large;
    this.#without = without;
  }

  end(): void {
    if (!this.#reader.atEnd) throw new StateFormatError('bytes after the end');
    for (const name of this.#large.keys()) {
      if (!this.#used.has(name)) throw new StateFormatError(`record ${name} is not part of the state`);
    }
  }

  /** The next value; when it is not wanted it is read without making anything of it. */
  value(depth: number, isSkipped: boolean): StateValue {
    if (depth > MAX_DEPTH) throw new StateFormatError('nested too deep');
    const reader = this.#reader;
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
      case 7:
        return this.#array(depth, isSkipped);
      case 8: {
        const kind = reader.u8();
        const bytes = reader.bytes(reader.u32());
        return isSkipped ? undefined : arrayOf(kind, bytes);
      }
      case 9:
        return this.#map(depth, isSkipped);
      case 10:
        return this.#reference(isSkipped);
      default:
        throw new StateFormatError(`tag ${tag}`);
    }
  }

  #array(depth: number, isSkipped: boolean): StateValue[] {
    const count = this.#reader.count();
    const isParts = depth === 1 && this.#isFirst;
    if (depth === 1) this.#isFirst = false;
    const { offsets } = this.layout;
    const values: StateValue[] = [];
    for (let index = 0; index < count; index++) {
      if (isParts) offsets.push(this.#reader.offset);
      const isUnwanted = isSkipped || (isParts && this.#without.has(index));
      const value = this.value(depth + 1, isUnwanted);
      values.push(isUnwanted ? undefined : value);
      if (depth === 0) this.#isFirst = false;
    }
    if (isParts) offsets.push(this.#reader.offset);
    return values;
  }

  #map(depth: number, isSkipped: boolean): Map<StateValue, StateValue> {
    if (depth === 0) this.#isFirst = false;
    const map = new Map<StateValue, StateValue>();
    for (let left = this.#reader.count(); left > 0; left--) {
      const key = this.value(depth + 1, isSkipped);
      map.set(key, this.value(depth + 1, isSkipped));
    }
    return map;
  }

  #reference(isSkipped: boolean): StateValue {
    const reader = this.#reader;
    const kind = reader.u8();
    const length = reader.u32();
    const name = reader.text(reader.u8());
    const bytes = this.#large.get(name);
    if (bytes === undefined || this.#used.has(name)) throw new StateFormatError(`record ${name} is missing`);
    if (bytes.length !== length) throw new StateFormatError(`record ${name} has ${bytes.length} bytes`);
    this.#used.add(name);
    const { offsets, large } = this.layout;
    // The part that was begun last; records behind the parts belong to the one after them, which is none.
    const part = offsets.length - 1;
    large.set(part, [...(large.get(part) ?? []), name]);
    return isSkipped ? undefined : arrayOf(kind, bytes);
  }
}

function arrayOf(kind: number, bytes: Uint8Array): StateArray {
  const Kind = ARRAY_KINDS[kind];
  if (Kind === undefined || bytes.length % Kind.BYTES_PER_ELEMENT !== 0) {
    throw new StateFormatError(`array of kind ${kind} and ${bytes.length} bytes`);
  }
  return new Kind(copyBytes(bytes).buffer);
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get offset(): number {
    return this.#at;
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

// v86's state as the bytes of `state-codec.ts`, straight from the machine: whatever has state of its own gives it, arrays are
// copied once, into the bytes. Every save does it, while the guest rests.

import type { OwnedBytes } from '../../base/bytes.ts';
import { ARRAY_KINDS, type EncodedState, LARGE_BYTES } from './state-codec.ts';
import type { V86Stateful, V86View } from './v86-internals.ts';

export interface EncoderOptions {
  /** The record name of a large buffer by its path in the tree: `0.52.6`. */
  readonly nameOf: (path: string) => string;
  /** Bytes of our own that are those of a large buffer now. */
  readonly keep: (name: string, bytes: Uint8Array) => OwnedBytes;
}

const KIND_NUMBERS: ReadonlyMap<unknown, number> = new Map(ARRAY_KINDS.map((kind, number) => [kind, number]));

/** Encodes trees, one after another, in memory that it uses again. */
export class StateEncoder {
  readonly #options: EncoderOptions;
  readonly #writer = new Writer();
  /** The way to the value in hand. */
  readonly #path: (string | number)[] = [];
  #offsets: number[] = [];
  #large = new Map<string, OwnedBytes>();
  #largeOf = new Map<number, string[]>();

  constructor(options: EncoderOptions) {
    this.#options = options;
  }

  /** The bytes of a tree, which may hold v86's own devices and views. */
  encode(root: unknown): EncodedState {
    this.#writer.clear();
    this.#path.length = 0;
    this.#offsets = [];
    this.#large = new Map();
    this.#largeOf = new Map();
    this.#write(root);
    const layout = { offsets: this.#offsets, large: this.#largeOf };
    return { tree: this.#writer.take(), large: this.#large, layout };
  }

  #write(value: unknown): void {
    const writer = this.#writer;
    if (value === undefined) writer.u8(0);
    else if (value === null) writer.u8(1);
    else if (typeof value === 'boolean') writer.u8(value ? 3 : 2);
    else if (typeof value === 'number') writer.number(value);
    else if (typeof value === 'string') writer.text(value);
    else if (typeof value !== 'object') throw new Error(`v86 keeps state in a ${typeof value}`);
    else if (Array.isArray(value)) this.#writeArray(value);
    else if (ArrayBuffer.isView(value)) this.#writeView(value);
    else if (value instanceof Map) this.#writeMap(value);
    else if (typeof (value as V86Stateful).get_state === 'function') {
      this.#write((value as V86Stateful).get_state());
    }
    // A Proxy, which builds a view at each access: this is one access. Anything else has no such function.
    else this.#writeView((value as V86View).subarray(0));
  }

  #writeArray(values: readonly unknown[]): void {
    const writer = this.#writer;
    const path = this.#path;
    const depth = path.length;
    const isParts = depth === 1 && path[0] === 0;
    writer.u8(7);
    writer.u32(values.length);
    // Indexed: v86's arrays have holes, which `entries` and a spread see and `forEach` does not.
    for (let i = 0; i < values.length; i++) {
      if (isParts) this.#offsets.push(writer.length);
      path[depth] = i;
      this.#write(values[i]);
    }
    path.length = depth;
    if (isParts) this.#offsets.push(writer.length);
  }

  #writeMap(map: ReadonlyMap<unknown, unknown>): void {
    const path = this.#path;
    const depth = path.length;
    this.#writer.u8(9);
    this.#writer.u32(map.size);
    for (const [key, one] of map) {
      path[depth] = 'key';
      this.#write(key);
      path[depth] = String(key);
      this.#write(one);
    }
    path.length = depth;
  }

  #writeView(view: ArrayBufferView): void {
    const kind = KIND_NUMBERS.get(view.constructor);
    if (kind === undefined) throw new Error(`v86 keeps state in a ${view.constructor.name}`);
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    if (bytes.length < LARGE_BYTES) {
      this.#writer.array(kind, bytes);
      return;
    }
    const name = this.#options.nameOf(this.#path.join('.'));
    this.#writer.reference(kind, bytes.length, name);
    this.#large.set(name, this.#options.keep(name, bytes));
    // The part that was begun last; what lies behind the parts belongs to the one after them, which is none.
    const part = this.#offsets.length - 1;
    this.#largeOf.set(part, [...(this.#largeOf.get(part) ?? []), name]);
  }
}

class Writer {
  readonly #utf8 = new TextEncoder();
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

  text(value: string): void {
    this.u8(6);
    const bytes = this.#utf8.encode(value);
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
    const bytes = this.#utf8.encode(name);
    this.u8(bytes.length);
    this.#append(bytes);
  }

  get length(): number {
    return this.#at;
  }

  clear(): void {
    this.#at = 0;
  }

  /** A copy of what was written. */
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

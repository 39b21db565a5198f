// The kinds of objects that a graph is made of, and of values that they hold. Numbers are in device records: they are
// never reused for something else.

export const KIND = { object: 1, array: 2, map: 3, set: 4, view: 5, buffer: 6, date: 7 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

/** What of JavaScript's own classes cannot be saved, whatever state it is in. */
const CLOSED = [WeakMap, WeakSet, WeakRef, Promise, RegExp, Error];

/** What an object is, or the name of what it is that cannot be saved. */
export function kindOf(object: object): Kind | string {
  if (Array.isArray(object)) return KIND.array;
  if (ArrayBuffer.isView(object)) return KIND.view;
  if (isBuffer(object)) return KIND.buffer;
  if (object instanceof Map) return KIND.map;
  if (object instanceof Set) return KIND.set;
  if (object instanceof Date) return KIND.date;
  return CLOSED.find((closed) => object instanceof closed)?.name ?? KIND.object;
}

/** The kind that every object of a class is: what the platform's own methods rely on. */
export function kindOfClass(prototype: object | null): Kind {
  const isA = (one: object) =>
    one === prototype || (prototype !== null && Object.prototype.isPrototypeOf.call(one, prototype));
  if (isA(Array.prototype)) return KIND.array;
  if (isA(Map.prototype)) return KIND.map;
  if (isA(Set.prototype)) return KIND.set;
  return isA(Date.prototype) ? KIND.date : KIND.object;
}

export function isBuffer(object: object): object is ArrayBufferLike {
  if (object instanceof ArrayBuffer) return true;
  return typeof SharedArrayBuffer !== 'undefined' && object instanceof SharedArrayBuffer;
}

type ViewMaker = new (buffer: ArrayBufferLike, offsetBytes: number, length: number) => ArrayBufferView;

/** Views by id, which is the index: append only. `DataView` counts its length in bytes. */
const VIEWS: readonly { readonly make: ViewMaker; readonly elementBytes: number }[] = [
  { make: DataView, elementBytes: 1 },
  { make: Uint8Array, elementBytes: 1 },
  { make: Int8Array, elementBytes: 1 },
  { make: Uint8ClampedArray, elementBytes: 1 },
  { make: Uint16Array, elementBytes: 2 },
  { make: Int16Array, elementBytes: 2 },
  { make: Uint32Array, elementBytes: 4 },
  { make: Int32Array, elementBytes: 4 },
  { make: Float32Array, elementBytes: 4 },
  { make: Float64Array, elementBytes: 8 },
  { make: BigUint64Array, elementBytes: 8 },
  { make: BigInt64Array, elementBytes: 8 },
];

/** The id of a view's class; -1 for a class of somebody's own (Node's `Buffer`), which cannot be made anew. */
export function viewIdOf(view: ArrayBufferView): number {
  const prototype = Object.getPrototypeOf(view);
  return VIEWS.findIndex(({ make }) => make.prototype === prototype);
}

/** Bytes of an element of a view of that class, or undefined when there is no such class. */
export function elementBytesOf(viewId: number): number | undefined {
  return VIEWS[viewId]?.elementBytes;
}

/** Makes a view; the reader has checked that it fits its buffer. */
export function makeView(viewId: number, buffer: ArrayBufferLike, offsetBytes: number, length: number) {
  const { make } = VIEWS[viewId]!;
  return new make(buffer, offsetBytes, length);
}

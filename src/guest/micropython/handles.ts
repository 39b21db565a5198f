// JavaScript objects that Python holds. They are not in Python's memory: a snapshot has their numbers alone. In the
// tab that saved it they are found again while they live; anywhere else Python finds a frozen object that says so.
//
// In the record: how many handles there are, and for each whether it is free, and the number of its object. The number
// that stands for this tab is in front, so that another tab's numbers are never taken for ours.

import type { RecordReader, RecordWriter } from '../wasm/record-bytes.ts';

/** Handles that one record may have. */
const MAX_HANDLES = 1_000_000;
/** What Python finds in place of an object that did not come along. */
const LOST = Object.freeze({ lostInSnapshot: true });

const realm = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
const numbers = new WeakMap<object, number>();
const objects = new Map<number, WeakRef<object>>();

export function writeHandles(writer: RecordWriter, handles: readonly unknown[]): void {
  writer.u32(handles.length);
  // Without handles two sessions of equal state have equal records.
  if (handles.length === 0) return;
  writer.u32(realm);
  for (const handle of handles) writer.u32(handle === undefined ? 0 : numberOf(handle));
}

/** The objects by handle, undefined where one is free. Throws `guest-state-invalid`. */
export function readHandles(reader: RecordReader): readonly unknown[] {
  const count = reader.u32();
  reader.require(count <= MAX_HANDLES, 'handles');
  if (count === 0) return [];
  const ours = reader.u32() === realm;
  const handles: unknown[] = [];
  for (let i = 0; i < count; i++) {
    const number = reader.u32();
    if (number === 0) handles.push(undefined);
    else handles.push((ours ? objects.get(number)?.deref() : undefined) ?? LOST);
  }
  return handles;
}

function numberOf(value: unknown): number {
  // A symbol or a large integer cannot be held weakly; like an object that is gone, it has a number of nothing.
  const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function';
  const key: object = isObject ? (value as object) : LOST;
  const known = numbers.get(key);
  if (known !== undefined) return known;
  const number = objects.size + 1;
  numbers.set(key, number);
  objects.set(number, new WeakRef(key));
  return number;
}

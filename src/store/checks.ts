// What every store refuses before it does anything, in one place, so that a key, a range or a size is refused with
// the same code everywhere and nothing else reaches a file system or a database.

import { equalBytes, type OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { type ByteRange, KEY_PATTERN, type Key, type StoreTraits } from './store.ts';

const REF_PREFIX = 'refs/';

/** What the keys that `KEY_PATTERN` takes can begin with, up to the whole key. */
const PREFIX_PATTERN =
  /^([a-z0-9][a-z0-9._-]{0,127}\/){0,3}([a-z0-9][a-z0-9._-]{0,127})?$|^([a-z0-9][a-z0-9._-]{0,127}\/){4}$/;

/** Throws `store-key-invalid` unless `key` is an object's or a ref's. */
export function checkKey(key: Key): void {
  if (!KEY_PATTERN.test(key)) throw new VitrineError('store-key-invalid', { key: shown(key) });
}

/** Throws `store-key-invalid` unless `key` is an object's. */
export function checkObjectKey(key: Key): void {
  checkKey(key);
  if (isRef(key)) throw new VitrineError('store-key-invalid', { key, reason: 'refs move by compareAndSwap' });
}

/** Throws `store-key-invalid` unless `key` is a ref's. */
export function checkRef(key: Key): void {
  checkKey(key);
  if (!isRef(key)) throw new VitrineError('store-key-invalid', { key, reason: 'a ref starts with refs/' });
}

/** Throws `store-key-invalid` unless keys can start so. */
export function checkPrefix(prefix: string): void {
  if (!PREFIX_PATTERN.test(prefix)) throw new VitrineError('store-key-invalid', { prefix: shown(prefix) });
}

/** Throws `store-object-too-large` when a store does not take so many bytes. */
export function checkSize(traits: StoreTraits, key: Key, bytes: Uint8Array): void {
  const { maxObjectBytes } = traits;
  if (bytes.length > maxObjectBytes) {
    throw new VitrineError('store-object-too-large', { key, lengthBytes: bytes.length, maxObjectBytes });
  }
}

/** Throws `argument-invalid` unless a range is made of counts. */
export function checkRange(range: ByteRange | undefined): void {
  if (range === undefined) return;
  const { offsetBytes, lengthBytes } = range;
  if (!isCount(offsetBytes) || !isCount(lengthBytes)) {
    throw new VitrineError('argument-invalid', { name: 'range', offsetBytes, lengthBytes });
  }
}

/** Where a range of an object begins and ends; throws `format-truncated` when the object ends before it. */
export function placeOf(
  key: Key,
  sizeBytes: number,
  range: ByteRange | undefined,
): { readonly start: number; readonly end: number } {
  if (range === undefined) return { start: 0, end: sizeBytes };
  const { offsetBytes, lengthBytes } = range;
  if (lengthBytes > sizeBytes - offsetBytes) {
    throw new VitrineError('format-truncated', { key, sizeBytes, offsetBytes, lengthBytes });
  }
  return { start: offsetBytes, end: offsetBytes + lengthBytes };
}

/** Whether a key is a ref's. */
export function isRef(key: Key): boolean {
  return key.startsWith(REF_PREFIX);
}

/** Whether a ref holds what was expected of it; null stands for "there is none". */
export function isSameRef(current: OwnedBytes | null, expected: OwnedBytes | null): boolean {
  return current === null || expected === null ? current === expected : equalBytes(current, expected);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** A key from outside, short enough for a message. */
function shown(key: unknown): string {
  return String(key).slice(0, 160);
}

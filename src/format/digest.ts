// A digest: the 32 bytes of BLAKE3-256 that name an object, a manifest or a pack. Who computes them is not told
// here: the format takes a digest function wherever it needs one.

import { assert } from '../base/assert.ts';
import type { OwnedBytes } from '../base/bytes.ts';

export const DIGEST_BYTES = 32;

/** 32 bytes. */
export type Digest = OwnedBytes;

/** Names bytes. */
export type DigestFunction = (bytes: Uint8Array) => Digest;

/** Stands for a page of zeros, for a subtree of such pages, and for "no parent". Never written to. */
export const ZERO_DIGEST: Digest = new Uint8Array(DIGEST_BYTES);

/** Whether the digest at `offset` is the one that stands for zeros. */
export function isZeroDigest(digest: Uint8Array, offset = 0): boolean {
  for (let i = offset; i < offset + DIGEST_BYTES; i++) if (digest[i] !== 0) return false;
  return true;
}

/** The digest at `offset` as a key of a Map or Set: 32 characters below U+0100. */
export function digestKey(digest: Uint8Array, offset = 0): string {
  assert(offset + DIGEST_BYTES <= digest.length, 'a digest has 32 bytes');
  // Safe: String.fromCharCode takes any array-like of numbers.
  return String.fromCharCode.apply(
    null,
    digest.subarray(offset, offset + DIGEST_BYTES) as unknown as number[],
  );
}

/** The digest that `digestKey` made into a key. */
export function digestOfKey(key: string): Digest {
  assert(key.length === DIGEST_BYTES, 'a digest key has 32 characters');
  const digest = new Uint8Array(DIGEST_BYTES);
  for (let i = 0; i < DIGEST_BYTES; i++) digest[i] = key.charCodeAt(i);
  return digest;
}

/** Below, equal to or above zero as the digest at `offsetA` comes before, at or after the one at `offsetB`. */
export function compareDigests(a: Uint8Array, b: Uint8Array, offsetA = 0, offsetB = 0): number {
  for (let i = 0; i < DIGEST_BYTES; i++) {
    const difference = a[offsetA + i]! - b[offsetB + i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

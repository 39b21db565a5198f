// Where a guest's memory lies when other threads can read it: regions at offsets of shared buffers. It is what a guest's
// worker hands out, once, and what a reader needs; the bytes themselves are never sent.
//
//   guest's worker                           reader's worker
//   stores … pause ── "it rests" ──message──▶ copies ── "go on" ──message──▶ resume … stores
//
// Ordering: pages have one writer, the guest's thread, and are read with plain loads. A copy is of one instant because
// the guest's thread has stored all it will before it posts that it rests, the reader copies after it took that message
// and before it posts that it is done, and the guest stores again after it took that one: posting and taking a message
// orders what stands before the one before what stands after the other, as unlocking and locking does. A reader that does
// not ask for rest gets bytes of different instants, each byte one that was there: a torn copy, and called so.
//
// A shared memory never moves. When it grows it gets a new, longer buffer object over the same bytes; older handles stay
// right for what they name.

import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { Span } from './span.ts';

/** One region in shared memory. */
export interface SharedRegion {
  /** Its id. */
  readonly region: number;
  readonly buffer: SharedArrayBuffer;
  /** Where its first byte lies in the buffer. */
  readonly offsetBytes: number;
  /** How much of it lies there, from its first byte on: all, unless it is a memory that may still grow. */
  readonly sizeBytes: number;
}

/** The regions of a guest that are in shared memory. Can be sent to any worker of the same origin and isolation. */
export interface SharedMemory {
  readonly regions: readonly SharedRegion[];
}

/** Whether bytes are in shared memory. */
export function isShared(buffer: ArrayBufferLike): buffer is SharedArrayBuffer {
  return typeof SharedArrayBuffer !== 'undefined' && buffer instanceof SharedArrayBuffer;
}

/** The bytes of a region in place, as far as they are shared; undefined when none is. Only to be copied from. */
export function sharedBytes(shared: SharedMemory, region: number): Uint8Array | undefined {
  const place = shared.regions.find((one) => one.region === region);
  return place && new Uint8Array(place.buffer, place.offsetBytes, place.sizeBytes);
}

/** Whether all bytes of a span are in shared memory. */
export function isSpanShared(shared: SharedMemory, { region, offsetBytes, lengthBytes }: Span): boolean {
  const place = shared.regions.find((one) => one.region === region);
  return place !== undefined && offsetBytes + lengthBytes <= place.sizeBytes;
}

/**
 * A copy of a span of a guest that may be running: of one instant only while it rests.
 *
 * Throws `span-out-of-range` where the span is not in shared memory.
 */
export function copyShared(shared: SharedMemory, span: Span): OwnedBytes {
  const { region, offsetBytes, lengthBytes } = span;
  if (!isSpanShared(shared, span)) {
    throw new VitrineError('span-out-of-range', { region, offsetBytes, lengthBytes, shared: false });
  }
  const copy = new Uint8Array(lengthBytes);
  // Safe: the span was found in this region's bytes.
  copy.set(sharedBytes(shared, region)!.subarray(offsetBytes, offsetBytes + lengthBytes));
  return copy;
}

// The generation of a store: how often it was collected, and which packs a collection that was cut off had still to
// remove. It is a ref, so it moves atomically and durably.
//
// | Offset | Size   | Field                                              |
// |--------|--------|----------------------------------------------------|
// | 0      | 4      | count, little-endian                               |
// | 4      | 32 × n | names of packs that are being removed, as digests  |
//
// While packs are named here they are as good as gone: some of them may be, and what is told from those cannot be
// read. Whoever finds names here that nobody is at work on removes the packs and empties the list, alone.

import { equalBytes, fromHex, type OwnedBytes, toHex } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { Store } from '../store/store.ts';
import { PACK_PREFIX } from './frame-reader.ts';
import { INDEX_PREFIX } from './objects.ts';

const GENERATION_REF = 'refs/generation';
const COUNT_BYTES = 4;
const DIGEST_BYTES = 32;

export interface Generation {
  readonly count: number;
  /** Packs that are being removed. */
  readonly removing: readonly string[];
  /** The ref as it was read, for the swap; null when the store was never collected. */
  readonly bytes: OwnedBytes | null;
}

/** Reads the generation. Throws `format-range` for a ref that is none. */
export async function readGeneration(store: Store): Promise<Generation> {
  const bytes = await store.get(GENERATION_REF);
  if (bytes === undefined) return { count: 0, removing: [], bytes: null };
  if (bytes.length < COUNT_BYTES || (bytes.length - COUNT_BYTES) % DIGEST_BYTES !== 0) {
    throw new VitrineError('format-range', { record: 'generation', lengthBytes: bytes.length });
  }
  const removing: string[] = [];
  for (let at = COUNT_BYTES; at < bytes.length; at += DIGEST_BYTES) {
    removing.push(toHex(bytes.subarray(at, at + DIGEST_BYTES)));
  }
  const count = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0, true);
  return { count, removing, bytes };
}

/** Whether two readings are of the same ref. */
export function isSameGeneration(a: Generation, b: Generation): boolean {
  if (a.bytes === null || b.bytes === null) return a.bytes === b.bytes;
  return equalBytes(a.bytes, b.bytes);
}

/**
 * Removes packs for good: names them in the ref, which also makes everything put before durable, deletes them, and
 * takes the names out again. Needs the store alone. When it is cut off, `finishRemoval` ends it.
 */
export async function removePacks(store: Store, before: Generation, names: readonly string[]): Promise<void> {
  await moveGeneration(store, before, names);
  await finishRemoval(store);
}

/** Ends a removal that was cut off; without one it does nothing. Needs the store alone. */
export async function finishRemoval(store: Store): Promise<void> {
  const generation = await readGeneration(store);
  if (generation.removing.length === 0) return;
  // Indexes go first: an index without its pack would promise what is not there.
  await store.delete(generation.removing.map((name) => `${INDEX_PREFIX}${name}`));
  await store.delete(generation.removing.map((name) => `${PACK_PREFIX}${name}`));
  await moveGeneration(store, generation, []);
}

async function moveGeneration(store: Store, before: Generation, removing: readonly string[]): Promise<void> {
  const bytes = new Uint8Array(COUNT_BYTES + removing.length * DIGEST_BYTES);
  new DataView(bytes.buffer).setUint32(0, (before.count + 1) >>> 0, true);
  // Safe: names of packs are the digests that this engine or a checked index gave them.
  for (const [index, name] of removing.entries())
    bytes.set(fromHex(name)!, COUNT_BYTES + index * DIGEST_BYTES);
  await store.compareAndSwap(GENERATION_REF, before.bytes, bytes);
}

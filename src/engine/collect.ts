// Collecting: what no ref reaches is removed. It has the store alone (see `lock.ts`).
//
//   mark   every node and page that a snapshot reaches, and what those are deltas against
//   pack   a pack that is mostly dead is written again without the dead part
//   sweep  packs and manifests that nothing reaches
//
// New packs are made durable, by moving the generation ref, before anything is removed; a crash at any point leaves at
// worst something to collect next time. Other tabs see the new generation and read the index again.

import type { WorkOptions } from '../base/work.ts';
import { throwIfAborted } from '../base/work.ts';
import { type Digest, digestKey, digestOfKey } from '../format/digest.ts';
import type { PackIndex } from '../format/pack-index.ts';
import type { Store } from '../store/store.ts';
import type { EngineParts } from './engine-parts.ts';
import { INDEX_PREFIX, PACK_PREFIX } from './objects.ts';
import { PackSink } from './pack-sink.ts';
import type { Base } from './save.ts';
import { MANIFEST_PREFIX } from './snapshot.ts';

const GENERATION_REF = 'refs/generation';
/** A pack with less than this share of live bytes is written again. */
const REPACK_BELOW = 0.5;

/** What was removed. */
export interface CollectReport {
  readonly packsRemoved: number;
  readonly packsRewritten: number;
  readonly manifestsRemoved: number;
  readonly objectsRemoved: number;
}

/** How often the store was collected, as the bytes of its ref; other engines compare it. */
export function readGeneration(store: Store): Promise<Uint8Array<ArrayBuffer> | undefined> {
  return store.get(GENERATION_REF);
}

/** Removes what none of `snapshots` reaches. Throws what the store throws; what is live is never lost. */
export async function collectGarbage(
  parts: EngineParts,
  snapshots: readonly Base[],
  options: WorkOptions,
): Promise<CollectReport> {
  const { store, objects } = parts;
  await objects.refresh();
  const live = await mark(parts, snapshots, options);
  const dead: [string, PackIndex][] = [];
  const sparse: [string, PackIndex][] = [];
  let objectsRemoved = 0;
  for (const [name, index] of objects.packs) {
    const { liveBytes, totalBytes, deadObjects } = weigh(index, live);
    if (deadObjects === index.count) dead.push([name, index]);
    else if (liveBytes < totalBytes * REPACK_BELOW) sparse.push([name, index]);
    else continue;
    objectsRemoved += deadObjects;
  }
  if (sparse.length > 0) await repack(parts, sparse, live);
  const keep = new Set(snapshots.map((snapshot) => `${MANIFEST_PREFIX}${snapshot.id}`));
  const manifests = (await store.list(MANIFEST_PREFIX)).filter((key) => !keep.has(key));
  const removed = [...dead, ...sparse].map(([name]) => name);
  if (removed.length > 0 || manifests.length > 0) {
    const before = await readGeneration(store);
    await store.compareAndSwap(GENERATION_REF, before ?? null, next(before));
    // Indexes go first: an index without its pack would promise what is not there.
    await store.delete(removed.map((name) => `${INDEX_PREFIX}${name}`));
    await store.delete(removed.map((name) => `${PACK_PREFIX}${name}`));
    await store.delete(manifests);
  }
  for (const name of removed) objects.removePack(name);
  return {
    packsRemoved: dead.length,
    packsRewritten: sparse.length,
    manifestsRemoved: manifests.length,
    objectsRemoved,
  };
}

async function mark(
  parts: EngineParts,
  snapshots: readonly Base[],
  options: WorkOptions,
): Promise<Set<string>> {
  const live = new Set<string>();
  const enter = (digest: Digest): boolean => {
    const key = digestKey(digest);
    if (live.has(key)) return false;
    live.add(key);
    return true;
  };
  for (const [index, { manifest }] of snapshots.entries()) {
    throwIfAborted(options.signal);
    for (const table of [...manifest.regions, ...manifest.devices]) await parts.tables.visit(table, enter);
    options.onProgress?.({ phase: 'collect', done: index + 1, total: snapshots.length, unit: 'objects' });
  }
  markBases(parts.objects.packs.values(), live);
  return live;
}

/**
 * Adds what live deltas are told from, though no table may name it any more; in every pack that holds the delta,
 * since any of them may be the one that is read. After the tables, so that a base that is a node hides no child.
 */
function markBases(packs: Iterable<PackIndex>, live: Set<string>): void {
  const indexes = [...packs];
  for (let before = -1; before !== live.size; ) {
    before = live.size;
    for (const index of indexes) {
      for (let entry = 0; entry < index.count; entry++) {
        if (index.transformAt(entry) !== 'xor' || !live.has(digestKey(index.digests, entry * 32))) continue;
        live.add(digestKey(index.baseAt(entry)));
      }
    }
  }
}

function weigh(index: PackIndex, live: ReadonlySet<string>) {
  let liveBytes = 0;
  let totalBytes = 0;
  let deadObjects = 0;
  for (let entry = 0; entry < index.count; entry++) {
    const lengthBytes = index.lengthAt(entry);
    totalBytes += lengthBytes;
    if (live.has(digestKey(index.digests, entry * 32))) liveBytes += lengthBytes;
    else deadObjects++;
  }
  return { liveBytes, totalBytes, deadObjects };
}

/** Writes the live objects of some packs into new ones. Until the old ones are removed the index knows both. */
async function repack(
  parts: EngineParts,
  packs: readonly (readonly [string, PackIndex])[],
  live: ReadonlySet<string>,
): Promise<void> {
  const { store, objects, codecs, digester } = parts;
  const sink = await PackSink.open(store, objects, codecs, digester, 'balanced');
  for (const [, index] of packs) {
    const digests: Digest[] = [];
    for (let entry = 0; entry < index.count; entry++) {
      const key = digestKey(index.digests, entry * 32);
      if (live.has(key)) digests.push(digestOfKey(key));
    }
    const contents = await objects.readMany(digests);
    const kinds = digests.map((digest) => index.kindAt(index.find(digest)));
    for (const [at, digest] of digests.entries()) {
      // Stored whole: a base may be in a pack that goes too. Deltas of later saves are told from these.
      await sink.addAgain({ digest, kind: kinds[at]!, bytes: contents[at]! });
    }
  }
  await sink.finish();
}

function next(generation: Uint8Array | undefined): Uint8Array<ArrayBuffer> {
  const count =
    generation === undefined ? 0 : new DataView(generation.buffer, generation.byteOffset).getUint32(0);
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, count + 1);
  return bytes;
}

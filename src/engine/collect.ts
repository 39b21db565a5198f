// Collecting: what no ref reaches is removed. It has the store alone (see `lock.ts`).
//
//   mark     every node and page that a snapshot's tables reach
//   rewrite  packs that are mostly dead, and packs with a delta whose base is dead: their live objects go into new
//            packs, so that a chain of deltas does not keep a deleted history alive, and no delta is left without base
//   sweep    packs and manifests that nothing reaches, and records of indexes whose packs never came
//
// New packs are made durable, by moving the generation ref, before anything is removed (see `generation.ts`); a crash at
// any point leaves at worst something to end or to collect next time. Other tabs see the new generation and read the
// index again.

import type { WorkOptions } from '../base/work.ts';
import { throwIfAborted } from '../base/work.ts';
import { type Digest, digestKey } from '../format/digest.ts';
import type { ObjectEntry } from '../format/pack-entry.ts';
import type { PackIndex } from '../format/pack-index.ts';
import type { Store } from '../store/store.ts';
import type { EngineParts } from './engine-parts.ts';
import { PACK_PREFIX } from './frame-reader.ts';
import { readGeneration, removePacks } from './generation.ts';
import { INDEX_PREFIX } from './objects.ts';
import { PackSink } from './pack-sink.ts';
import type { Base } from './save.ts';
import { MANIFEST_PREFIX } from './snapshot.ts';

/** A pack with less than this share of live bytes is written again. */
const REWRITE_BELOW = 0.5;

/** What was removed. */
export interface CollectReport {
  readonly packsRemoved: number;
  readonly packsRewritten: number;
  readonly manifestsRemoved: number;
  readonly objectsRemoved: number;
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
  const dead: string[] = [];
  const rewritten: [string, PackIndex][] = [];
  let objectsRemoved = 0;
  for (const [name, index] of objects.packs) {
    const { liveBytes, totalBytes, deadObjects, hasOrphans } = weigh(index, live);
    objectsRemoved += deadObjects;
    if (deadObjects === index.count) dead.push(name);
    else if (hasOrphans || liveBytes < totalBytes * REWRITE_BELOW) rewritten.push([name, index]);
    else objectsRemoved -= deadObjects;
  }
  const written = rewritten.length > 0 ? await rewrite(parts, rewritten, live) : new Set();
  const keep = new Set(snapshots.map((snapshot) => `${MANIFEST_PREFIX}${snapshot.id}`));
  const manifests = (await store.list(MANIFEST_PREFIX)).filter((key) => !keep.has(key));
  // A pack is named by its content: one that was written just now is never one to remove.
  const removed = [...dead, ...rewritten.map(([name]) => name)].filter((name) => !written.has(name));
  if (removed.length > 0) await removePacks(store, await readGeneration(store), removed);
  await store.delete(manifests);
  await store.delete(await strayRecords(store));
  for (const name of removed) objects.removePack(name);
  return {
    packsRemoved: dead.length,
    packsRewritten: rewritten.length,
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
  return live;
}

/** Records of indexes without their packs, as a save that failed may leave them. */
async function strayRecords(store: Store): Promise<string[]> {
  const records = await store.list(INDEX_PREFIX);
  const packs = new Set(await store.list(PACK_PREFIX));
  return records.filter((key) => !packs.has(`${PACK_PREFIX}${key.slice(INDEX_PREFIX.length)}`));
}

/** What of a pack is live, and whether a delta in it is told from something that is not. */
function weigh(index: PackIndex, live: ReadonlySet<string>) {
  let liveBytes = 0;
  let totalBytes = 0;
  let deadObjects = 0;
  let hasOrphans = false;
  for (let entry = 0; entry < index.count; entry++) {
    const lengthBytes = index.lengthAt(entry);
    totalBytes += lengthBytes;
    // Dead deltas count too: what is in an index can be read, or a save that meets the same content would rely on it.
    if (index.transformAt(entry) === 'xor' && !live.has(digestKey(index.baseAt(entry)))) hasOrphans = true;
    if (live.has(digestKey(index.digests, entry * 32))) liveBytes += lengthBytes;
    else deadObjects++;
  }
  return { liveBytes, totalBytes, deadObjects, hasOrphans };
}

/** Writes the live objects of some packs into new ones. Until the old ones are removed the index knows both. Answers with the names. */
async function rewrite(
  parts: EngineParts,
  packs: readonly (readonly [string, PackIndex])[],
  live: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const { store, objects, codecs, digester } = parts;
  const opening = PackSink.open(store, objects, codecs, digester, 'balanced');
  return PackSink.using(opening, async (sink) => {
    for (const [, index] of packs) {
      const entries: ObjectEntry[] = [];
      for (let entry = 0; entry < index.count; entry++) {
        if (live.has(digestKey(index.digests, entry * 32))) entries.push(index.entry(entry));
      }
      const contents = await objects.readMany(entries.map(({ digest }) => digest));
      for (const [at, { digest, kind, ...entry }] of entries.entries()) {
        const bytes = contents[at]!;
        if (entry.transform === 'fill') await sink.addAgain({ digest, kind, bytes, pattern: entry.pattern });
        else if (entry.transform === 'plain' || !live.has(digestKey(entry.base))) {
          await sink.addAgain({ digest, kind, bytes });
        } else {
          const base = { digest: entry.base, bytes: await objects.read(entry.base) };
          await sink.addAgain({ digest, kind, bytes, base });
        }
      }
    }
    await sink.finish();
    return sink.packs;
  });
}

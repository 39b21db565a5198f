// Receiving: packs from elsewhere are proven object by object before they are stored, and a manifest becomes a snapshot
// only when everything that it reaches is here. See `transfer.ts`.

import { type OwnedBytes, toHex } from '../base/bytes.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import { KIB, LIMITS } from '../base/limits.ts';
import { type Digest, digestKey } from '../format/digest.ts';
import { DigestSet } from '../format/digest-set.ts';
import { decodeManifest } from '../format/manifest.ts';
import { fillContent, objectPayload } from '../format/pack-entry.ts';
import type { PackIndex } from '../format/pack-index.ts';
import { decodeFrame, frameRange, readPackIndex } from '../format/pack-reader.ts';
import type { EngineParts } from './engine-parts.ts';
import { PACK_PREFIX } from './frame-reader.ts';
import { INDEX_PREFIX } from './objects.ts';
import { infoOf, manifestKey, type SnapshotId, type SnapshotInfo, snapshotRef } from './snapshot.ts';
import { MAX_OFFERED, type SnapshotReceiver, TRANSFER_BATCH } from './transfer.ts';

const DIGEST_BYTES = 32;
/** As in `pack-sink.ts`: smaller ones are read whole for their index. */
const SMALL_PACK_BYTES = 256 * KIB;

/** Runs work with the store shared, up to date with what others did to it. */
type Sharing = <T>(work: () => Promise<T>) => Promise<T>;

/** A receiver that stores into the engine of `parts`. */
export function openReceiver(parts: EngineParts, sharing: Sharing): SnapshotReceiver<SnapshotInfo> {
  return {
    async known(ids) {
      if (ids.length > MAX_OFFERED) refuse('ids', ids.length, MAX_OFFERED);
      const found: SnapshotId[] = [];
      for (const id of ids) if ((await parts.store.get(snapshotRef(id))) !== undefined) found.push(id);
      return found;
    },
    async missing(digests) {
      const count = digests.length / DIGEST_BYTES;
      if (!Number.isInteger(count) || count > TRANSFER_BATCH) refuse('digests', count, TRANSFER_BATCH);
      return sharing(async () =>
        Array.from({ length: count }, (_, index) => {
          const digest = digests.slice(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES) as Digest;
          return parts.objects.presence(digest) !== 'present';
        }),
      );
    },
    putPack: (pack) => sharing(() => storePack(parts, pack)),
    finish: (manifest) => sharing(() => storeManifest(parts, manifest)),
  };
}

function refuse(record: string, count: number, most: number): never {
  throw new VitrineError('format-limit', { record, count, most });
}

async function storePack(parts: EngineParts, bytes: OwnedBytes): Promise<void> {
  if (bytes.length > LIMITS.packBytes + LIMITS.frameBytes) refuse('pack', bytes.length, LIMITS.packBytes);
  const index = readPackIndex(bytes);
  await parts.codecs.prepare(index.codecIds());
  proveObjects(parts, index, bytes);
  const name = toHex(parts.digester.digest(bytes));
  await parts.store.put(`${PACK_PREFIX}${name}`, bytes);
  if (bytes.length > SMALL_PACK_BYTES) await parts.store.put(`${INDEX_PREFIX}${name}`, index.bytes);
  parts.objects.addPack(name, index);
}

/** Throws `object-damaged` unless each object is what its digest says, `format-tag` for one told from another. */
function proveObjects({ codecs, digester }: EngineParts, index: PackIndex, bytes: OwnedBytes): void {
  const inFrames = new Map<number, number[]>();
  for (let at = 0; at < index.count; at++) {
    const entry = index.entry(at);
    // Its base might be gone tomorrow, or be none of what this snapshot reaches.
    if (entry.transform === 'xor') throw new VitrineError('format-tag', { record: 'pack', field: 'xor' });
    if (entry.transform === 'fill') prove(fillContent(entry), entry.digest);
    else inFrames.set(entry.frame, [...(inFrames.get(entry.frame) ?? []), at]);
  }
  for (const [frame, entries] of inFrames) {
    const { offsetBytes, lengthBytes } = frameRange(index, frame);
    const plain = decodeFrame(index, frame, bytes.subarray(offsetBytes, offsetBytes + lengthBytes), codecs);
    for (const at of entries) {
      const entry = index.entry(at);
      if (entry.transform === 'plain') prove(objectPayload(plain, entry), entry.digest);
    }
  }

  function prove(content: OwnedBytes, digest: Digest): void {
    if (digestKey(digester.digest(content)) === digestKey(digest)) return;
    throw new VitrineError('object-damaged', { object: toHex(digest), reason: 'digest differs' });
  }
}

async function storeManifest(parts: EngineParts, bytes: OwnedBytes): Promise<SnapshotInfo> {
  const manifest = decodeManifest(bytes);
  // Each digest once: a tree of nodes that name themselves over and over would never end.
  const seen = new DigestSet();
  for (const table of [...manifest.regions, ...manifest.devices]) {
    await parts.tables.visit(table, (digest) => {
      if (!seen.add(digest)) return false;
      if (parts.objects.presence(digest) === 'present') return true;
      throw new VitrineError('object-missing', { object: toHex(digest), table: table.name });
    });
  }
  const digest = parts.digester.digest(bytes);
  const id = toHex(digest);
  await parts.store.put(manifestKey(id), bytes);
  try {
    await parts.store.compareAndSwap(snapshotRef(id), null, digest);
  } catch (error) {
    // Somebody else brought it meanwhile: it is there all the same.
    if (!isVitrineError(error, 'store-conflict')) throw error;
  }
  return infoOf(id, manifest);
}

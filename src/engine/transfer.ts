// Transfer: a snapshot goes from one store to another, and of its objects only those that the other side lacks.
//
//   sender                                   receiver
//   ids of its past          ──known──▶      which of them it has: what they name need not be told
//   digests, a batch a time  ──missing──▶    which of them it lacks
//   a pack of those          ──putPack──▶    every object decoded and proven, then stored as it came
//   the manifest             ──finish──▶     all that it reaches looked for, then the ref
//
// Neither side trusts the other: what a receiver stores it has proven, and a snapshot is there only when all of it is. No
// lock is held while the other side is waited for; what a collection removes meanwhile is missed at the end.

import type { OwnedBytes } from '../base/bytes.ts';
import { toHex } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import { throwIfAborted, type WorkOptions } from '../base/work.ts';
import { type Digest, isZeroDigest } from '../format/digest.ts';
import { DigestSet } from '../format/digest-set.ts';
import type { Effort } from '../format/frame-codecs.ts';
import { encodeManifest } from '../format/manifest.ts';
import { PackWriter } from '../format/pack-writer.ts';
import { levelCount, type Table } from '../format/table.ts';
import { pageCountOf } from '../memory/region.ts';
import type { EngineParts } from './engine-parts.ts';
import type { Base } from './save.ts';
import type { SnapshotId } from './snapshot.ts';
import { emptyTable } from './table-writer.ts';

const DIGEST_BYTES = 32;
/** Digests asked about at a time: 64 KiB of them, for 8 MiB of pages. */
export const TRANSFER_BATCH = 2048;
/** Snapshots of its past that a sender offers to tell from. */
export const MAX_OFFERED = 64;
/** Objects read at a time. */
const READ_OBJECTS = 256;

/** Where a snapshot goes: another engine, or one that is far away. */
export interface SnapshotReceiver<Finished = unknown> {
  /** Which of these snapshots it has. */
  known(ids: readonly SnapshotId[]): Promise<readonly SnapshotId[]>;
  /** Which of these objects, 32 bytes each and at most `TRANSFER_BATCH`, it lacks: an entry an object. */
  missing(digests: OwnedBytes): Promise<readonly boolean[]>;
  /** Takes a pack. Throws `format-*`, `object-damaged`, and what its store throws. */
  putPack(pack: OwnedBytes): Promise<void>;
  /** Takes the manifest, and then has the snapshot. Throws `object-missing` when something of it did not come. */
  finish(manifest: OwnedBytes): Promise<Finished>;
}

export interface SendOptions extends WorkOptions {
  /** How hard to compress what is sent; `fast` unless told. */
  readonly effort?: Effort;
}

/** What a transfer did. */
export interface TransferReport {
  readonly snapshot: SnapshotId;
  /** Whether the other side had it already. */
  readonly wasThere: boolean;
  /** Objects asked about, and those that were lacking and sent. */
  readonly objectsOffered: number;
  readonly objectsSent: number;
  /** Bytes of packs, indexes included. */
  readonly bytesSent: number;
}

/** Sends a snapshot; `past` is what the receiver may have of its history, nearest first. */
export async function sendSnapshot(
  parts: EngineParts,
  target: Base,
  past: readonly Base[],
  receiver: SnapshotReceiver,
  options: SendOptions,
): Promise<TransferReport> {
  const offered = [target, ...past].slice(0, MAX_OFFERED);
  const known = new Set(await receiver.known(offered.map(({ id }) => id)));
  if (known.has(target.id)) {
    return { snapshot: target.id, wasThere: true, objectsOffered: 0, objectsSent: 0, bytesSent: 0 };
  }
  const common = offered.find(({ id }) => known.has(id)) ?? null;
  await parts.codecs.prepareEffort(options.effort ?? 'fast');
  const sending = new Sending(parts, receiver, options);
  for (const table of [...target.manifest.regions, ...target.manifest.devices]) {
    await sending.sendTable(table, likeIn(common, table));
  }
  await sending.flush();
  throwIfAborted(options.signal);
  await receiver.finish(encodeManifest(target.manifest));
  const { objectsOffered, objectsSent, bytesSent } = sending;
  return { snapshot: target.id, wasThere: false, objectsOffered, objectsSent, bytesSent };
}

/** The table of that name and shape in a snapshot that both sides have; one of zeros where there is none. */
function likeIn(common: Base | null, table: Table & { readonly name: string }): Table {
  const { manifest } = common ?? {};
  const like = [...(manifest?.regions ?? []), ...(manifest?.devices ?? [])].find(
    ({ name, sizeBytes, pageBytes }) =>
      name === table.name && sizeBytes === table.sizeBytes && pageBytes === table.pageBytes,
  );
  return like ?? emptyTable(table.sizeBytes, table.pageBytes);
}

class Sending {
  objectsOffered = 0;
  objectsSent = 0;
  bytesSent = 0;
  readonly #parts: EngineParts;
  readonly #receiver: SnapshotReceiver;
  readonly #options: SendOptions;
  readonly #seen = new DigestSet();
  #writer: PackWriter;
  #batch: { readonly digest: Digest; readonly kind: 'page' | 'node' }[] = [];

  constructor(parts: EngineParts, receiver: SnapshotReceiver, options: SendOptions) {
    this.#parts = parts;
    this.#receiver = receiver;
    this.#options = options;
    this.#writer = this.#newWriter();
  }

  /** Sends what `table` reaches and `like` does not. */
  async sendTable(table: Table, like: Table): Promise<void> {
    const { lock, tables } = this.#parts;
    const pageCount = pageCountOf(table);
    if (pageCount === 0) return;
    const pages = [...(await lock.shared(() => tables.difference(like, table)))];
    for (let first = 0; first < pages.length; first += TRANSFER_BATCH) {
      const batch = pages.slice(first, first + TRANSFER_BATCH);
      const digests = await lock.shared(() => tables.pageDigests(table, batch));
      for (let at = 0; at < digests.length; at += DIGEST_BYTES) {
        await this.#offer(digests.slice(at, at + DIGEST_BYTES) as Digest, 'page');
      }
    }
    for (let level = 0; level < levelCount(pageCount); level++) {
      const perNode = LIMITS.tableFanout ** (level + 1);
      const indices = [...new Set(pages.map((page) => Math.floor(page / perNode)))];
      for (let first = 0; first < indices.length; first += READ_OBJECTS) {
        const some = indices.slice(first, first + READ_OBJECTS);
        const nodes = await lock.shared(() => tables.nodes(table, level, some));
        for (const { digest } of nodes.values()) await this.#offer(digest.slice() as Digest, 'node');
      }
    }
  }

  /** Sends what is held still. */
  async flush(): Promise<void> {
    await this.#ask();
    await this.#sendPack();
  }

  async #offer(digest: Digest, kind: 'page' | 'node'): Promise<void> {
    if (isZeroDigest(digest) || !this.#seen.add(digest)) return;
    this.#batch.push({ digest, kind });
    if (this.#batch.length === TRANSFER_BATCH) await this.#ask();
  }

  async #ask(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    if (batch.length === 0) return;
    throwIfAborted(this.#options.signal);
    const digests = new Uint8Array(batch.length * DIGEST_BYTES);
    for (const [index, { digest }] of batch.entries()) digests.set(digest, index * DIGEST_BYTES);
    const missing = await this.#receiver.missing(digests);
    this.objectsOffered += batch.length;
    const lacking = batch.filter((_, index) => missing[index] === true);
    for (let first = 0; first < lacking.length; first += READ_OBJECTS) {
      await this.#pack(lacking.slice(first, first + READ_OBJECTS));
    }
    this.#options.onProgress?.({
      phase: 'read',
      done: this.objectsSent,
      total: 0,
      unit: 'objects',
    });
  }

  async #pack(
    lacking: readonly { readonly digest: Digest; readonly kind: 'page' | 'node' }[],
  ): Promise<void> {
    const { lock, objects } = this.#parts;
    const contents = await lock.shared(() => objects.readMany(lacking.map(({ digest }) => digest)));
    for (const [index, { digest, kind }] of lacking.entries()) {
      throwIfAborted(this.#options.signal);
      this.#writer.addPlain({ digest, kind, bytes: contents[index]! });
      this.objectsSent++;
      if (!this.#writer.hasRoomFor(LIMITS.frameBytes)) await this.#sendPack();
    }
  }

  async #sendPack(): Promise<void> {
    if (this.#writer.objectCount === 0) return;
    const { bytes } = this.#writer.finish();
    this.#writer = this.#newWriter();
    await this.#receiver.putPack(bytes);
    this.bytesSent += bytes.length;
  }

  #newWriter(): PackWriter {
    const { codecs, digester } = this.#parts;
    return new PackWriter({ codecs, effort: this.#options.effort ?? 'fast', digest: digester.digest });
  }
}

/** The snapshots that a snapshot came from, as far as they are here, nearest first. */
export async function pastOf(
  target: Base,
  find: (id: SnapshotId) => Promise<Base | undefined>,
): Promise<Base[]> {
  const past: Base[] = [];
  for (let at: Base | undefined = target; at !== undefined && past.length < MAX_OFFERED; ) {
    const { parent }: Base['manifest'] = at.manifest;
    at = parent === null ? undefined : await find(toHex(parent));
    if (at !== undefined) past.push(at);
  }
  return past;
}

// A bundle as a place that a snapshot comes from. It is read to its end before anything of it goes anywhere: a file that is
// cut off, flipped or of another format leaves the target as it was. Then it is read again, and each object proven by
// whoever takes it.

import { type OwnedBytes, toHex } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { throwIfAborted, type WorkOptions } from '../base/work.ts';
import { infoOf, type SnapshotInfo } from '../engine/snapshot.ts';
import {
  type SendOptions,
  type SnapshotReceiver,
  TRANSFER_BATCH,
  type TransferReport,
} from '../engine/transfer.ts';
import { readBundle } from '../format/bundle.ts';
import { decodeManifest, type Manifest } from '../format/manifest.ts';
import type { PackIndex } from '../format/pack-index.ts';
import { readPackIndex } from '../format/pack-reader.ts';
import { blake3 } from '../kernel/blake3.ts';

const DIGEST_BYTES = 32;

/** The bytes of a file from its start, each time it is called; parts of any length. */
export type ReadBytes = () => AsyncIterable<OwnedBytes>;

/**
 * Reads a bundle to its end. It holds one pack at a time.
 *
 * Throws `format-*`, `aborted`, and what reading throws.
 *
 * @example await sync(await openBundle(() => createReadStream('booted.vitrine')), vitrine, '');
 */
export async function openBundle(read: ReadBytes, options: WorkOptions = {}): Promise<Bundle> {
  let doneBytes = 0;
  for await (const record of readBundle(counted(read(), (bytes) => (doneBytes += bytes)))) {
    throwIfAborted(options.signal);
    options.onProgress?.({ phase: 'verify', done: doneBytes, total: 0, unit: 'bytes' });
    if (record.kind === 'pack') readPackIndex(record.pack);
    else return new Bundle(read, record.manifest, doneBytes);
  }
  throw new VitrineError('format-truncated', { record: 'bundle' });
}

/** A bundle that was read to its end: a source for `sync`. */
export class Bundle {
  readonly info: SnapshotInfo;
  readonly manifest: Manifest;
  readonly sizeBytes: number;
  readonly #read: ReadBytes;
  readonly #manifestBytes: OwnedBytes;

  constructor(read: ReadBytes, manifest: OwnedBytes, sizeBytes: number) {
    this.#read = read;
    this.#manifestBytes = manifest;
    this.manifest = decodeManifest(manifest);
    const digest = new Uint8Array(DIGEST_BYTES);
    blake3(manifest, digest);
    this.info = infoOf(toHex(digest), this.manifest);
    this.sizeBytes = sizeBytes;
  }

  /** The one that it holds, whatever it is asked for. */
  async show(_snapshot: string): Promise<SnapshotInfo> {
    return this.info;
  }

  /**
   * Sends what it holds. Throws what the receiver throws: `object-damaged`, `object-missing`; `format-*` and `aborted`; what had
   * come by then is the receiver's, and no snapshot of it.
   */
  async send(
    _snapshot: string,
    receiver: SnapshotReceiver,
    options: Omit<SendOptions, 'effort'> = {},
  ): Promise<TransferReport> {
    const { id: snapshot } = this.info;
    const report = { snapshot, wasThere: false, objectsOffered: 0, objectsSent: 0, bytesSent: 0 };
    if ((await receiver.known([snapshot])).includes(snapshot)) return { ...report, wasThere: true };
    let doneBytes = 0;
    for await (const record of readBundle(counted(this.#read(), (bytes) => (doneBytes += bytes)))) {
      throwIfAborted(options.signal);
      if (record.kind === 'pack') {
        const index = readPackIndex(record.pack);
        const lacking = await lackingOf(receiver, index);
        report.objectsOffered += index.count;
        if (lacking > 0) {
          // Whole: a pack is what a receiver proves.
          const bytes = record.pack.length;
          await receiver.putPack(record.pack.slice());
          report.objectsSent += index.count;
          report.bytesSent += bytes;
        }
      } else {
        // Between the two readings it was a file of somebody else's.
        if (toHex(record.manifest) !== toHex(this.#manifestBytes)) {
          throw new VitrineError('format-range', {
            record: 'bundle',
            field: 'manifest, which was another one',
          });
        }
        await receiver.finish(record.manifest);
      }
      options.onProgress?.({ phase: 'write', done: doneBytes, total: this.sizeBytes, unit: 'bytes' });
    }
    return report;
  }
}

/** How many of a pack's objects a receiver lacks. */
async function lackingOf(receiver: SnapshotReceiver, index: PackIndex): Promise<number> {
  let lacking = 0;
  for (let first = 0; first < index.count; first += TRANSFER_BATCH) {
    const count = Math.min(TRANSFER_BATCH, index.count - first);
    const digests = new Uint8Array(count * DIGEST_BYTES);
    for (let at = 0; at < count; at++) digests.set(index.entry(first + at).digest, at * DIGEST_BYTES);
    lacking += (await receiver.missing(digests)).filter((isMissing) => isMissing).length;
  }
  return lacking;
}

async function* counted(
  bytes: AsyncIterable<OwnedBytes>,
  count: (bytes: number) => void,
): AsyncGenerator<OwnedBytes> {
  for await (const part of bytes) {
    count(part.length);
    yield part;
  }
}

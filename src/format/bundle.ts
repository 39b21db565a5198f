// A bundle: one snapshot as one file. SPEC.md, section 8. An opening, packs, and the manifest with which the file is whole;
// what ends before it is no snapshot.
//
// | Offset | Size | Field                                            |
// |--------|------|--------------------------------------------------|
// | 0      | 16   | opening: magic, version, features (`prefix.ts`)   |
// | 16     | …    | records                                          |
//
// | Offset | Size | Field of a record                                |
// |--------|------|--------------------------------------------------|
// | 0      | 1    | 1 pack, 2 end                                    |
// | 1      | 4    | bytes of the body                                |
// | 5      | n    | body: a pack; or `u32` packs before it, manifest |
// | 5 + n  | 4    | CRC-32C of all bytes of the record before it     |

import { ByteReader } from '../base/byte-reader.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import { concatBytes, type OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { crc32c } from './crc32c.ts';
import { CHECKSUM_BYTES, readOpening, writeOpening } from './prefix.ts';

const OPENING_BYTES = 16;
const HEADER_BYTES = 5;
const COUNT_BYTES = 4;

const MAX_PACK_BYTES = LIMITS.packBytes + LIMITS.frameBytes;
const MAX_END_BYTES = COUNT_BYTES + LIMITS.maxManifestBytes;

const KINDS = { pack: 1, end: 2 } as const;

/** What stands in a bundle after its opening. */
export type BundleRecord =
  | {
      readonly kind: 'pack';
      readonly pack: OwnedBytes;
      /** Where in the bundle the pack begins. */
      readonly offsetBytes: number;
    }
  | { readonly kind: 'end'; readonly manifest: OwnedBytes };

/** The first bytes of every bundle. */
export function encodeBundleOpening(): OwnedBytes {
  const writer = new ByteWriter();
  writeOpening(writer, 'bundle');
  return writer.finish();
}

/** A pack as it stands in a bundle, in parts to be written one after another. */
export function encodeBundlePack(pack: OwnedBytes): OwnedBytes[] {
  return encodeRecord(KINDS.pack, [pack]);
}

/** What ends a bundle of so many packs. */
export function encodeBundleEnd(packCount: number, manifest: OwnedBytes): OwnedBytes[] {
  const count = new ByteWriter();
  count.u32(packCount);
  return encodeRecord(KINDS.end, [count.finish(), manifest]);
}

/**
 * The records of a bundle, the end as the last, out of bytes that come cut anyhow. Nothing is kept but the record at hand, and
 * of that no more than has come.
 *
 * Throws `format-magic`, `format-version`, `format-tag`, `format-limit`, `format-checksum`, `format-range` for bytes after the end
 * or packs that are missing, `format-truncated`, and what reading throws.
 */
export async function* readBundle(bytes: AsyncIterable<OwnedBytes>): AsyncGenerator<BundleRecord> {
  const source = new ByteSource(bytes);
  readOpening(new ByteReader(await source.take(OPENING_BYTES), 'bundle'), 'bundle');
  for (let packCount = 0; ; packCount++) {
    const header = await source.take(HEADER_BYTES);
    const fields = new ByteReader(header, 'bundle');
    const tag = fields.u8();
    const lengthBytes = fields.u32();
    if (tag !== KINDS.pack && tag !== KINDS.end) return fields.refuse('format-tag', { field: 'record', tag });
    const mostBytes = tag === KINDS.pack ? MAX_PACK_BYTES : MAX_END_BYTES;
    if (lengthBytes > mostBytes)
      fields.refuse('format-limit', { field: 'record', claimedBytes: lengthBytes, mostBytes });
    const offsetBytes = source.takenBytes;
    const body = await source.take(lengthBytes);
    const stored = new ByteReader(await source.take(CHECKSUM_BYTES), 'bundle').u32();
    const computed = crc32c(concatBytes([header, body]));
    if (stored !== computed) {
      throw new VitrineError('format-checksum', { record: 'bundle', pack: packCount, stored, computed });
    }
    if (tag === KINDS.pack) {
      yield { kind: 'pack', pack: body, offsetBytes };
      continue;
    }
    const told = new ByteReader(body, 'bundle').u32();
    if (told !== packCount) {
      throw new VitrineError('format-range', { record: 'bundle', field: 'packs', told, present: packCount });
    }
    if (!(await source.isAtEnd())) {
      throw new VitrineError('format-range', { record: 'bundle', field: 'bytes after its end' });
    }
    yield { kind: 'end', manifest: body.slice(COUNT_BYTES) };
    return;
  }
}

function encodeRecord(kind: number, body: readonly OwnedBytes[]): OwnedBytes[] {
  const header = new ByteWriter();
  header.u8(kind);
  header.u32(body.reduce((sum, part) => sum + part.length, 0));
  const record = concatBytes([header.finish(), ...body]);
  const checksum = new ByteWriter();
  checksum.u32(crc32c(record));
  return [record, checksum.finish()];
}

/** Bytes taken in lengths, out of parts that come as they come. */
class ByteSource {
  readonly #parts: AsyncIterator<OwnedBytes>;
  #waiting: OwnedBytes[] = [];
  #waitingBytes = 0;
  #takenBytes = 0;

  constructor(bytes: AsyncIterable<OwnedBytes>) {
    this.#parts = bytes[Symbol.asyncIterator]();
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  async take(lengthBytes: number): Promise<OwnedBytes> {
    while (this.#waitingBytes < lengthBytes) {
      if (await this.#more()) continue;
      throw new VitrineError('format-truncated', {
        record: 'bundle',
        presentBytes: this.#takenBytes + this.#waitingBytes,
        neededBytes: this.#takenBytes + lengthBytes,
      });
    }
    const all = this.#waiting.length === 1 ? this.#waiting[0]! : concatBytes(this.#waiting);
    this.#waiting = all.length === lengthBytes ? [] : [all.subarray(lengthBytes)];
    this.#waitingBytes -= lengthBytes;
    this.#takenBytes += lengthBytes;
    return all.subarray(0, lengthBytes);
  }

  async isAtEnd(): Promise<boolean> {
    return this.#waitingBytes === 0 && !(await this.#more());
  }

  async #more(): Promise<boolean> {
    for (;;) {
      const { value, done } = await this.#parts.next();
      if (done === true) return false;
      if (value.length === 0) continue;
      this.#waiting.push(value);
      this.#waitingBytes += value.length;
      return true;
    }
  }
}

// The fixed prefix of a manifest and of a pack index, and the checksum that ends them: what every version keeps,
// so that any reader can tell a record it does not know from one that is damaged.
//
// | Offset | Size | Field                                                   |
// |--------|------|---------------------------------------------------------|
// | 0      | 8    | magic, starts 0x89, ends 0D 0A 1A: text modes damage it |
// | 8      | 2    | format version                                          |
// | 10     | 2    | zero                                                    |
// | 12     | 4    | required features, one a bit; unknown ones are refused  |
// | 16     | 4    | length of the whole record, checksum included           |
// | …      |      | body                                                    |
// | n - 4  | 4    | CRC-32C of all bytes before it                          |

import { ByteReader } from '../base/byte-reader.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { crc32c } from './crc32c.ts';

export const FORMAT_VERSION = 1;
/** None is defined in version 1. */
export const KNOWN_FEATURES = 0;

export const PREFIX_BYTES = 20;
export const CHECKSUM_BYTES = 4;
export const MAGIC_BYTES = 8;
const LENGTH_OFFSET = 16;

export type RecordName = 'manifest' | 'pack index' | 'pack' | 'bundle';

const MAGICS = {
  manifest: 'VMAN',
  'pack index': 'VIDX',
  pack: 'VPAK',
  bundle: 'VBUN',
} as const satisfies Record<RecordName, string>;

/** The eight bytes that a record starts with. */
export function magicOf(record: RecordName): OwnedBytes {
  const letters = MAGICS[record];
  return Uint8Array.of(0x89, ...Array.from(letters, (letter) => letter.charCodeAt(0)), 0x0d, 0x0a, 0x1a);
}

/** Writes magic, version and features: the part that packs have too. */
export function writeOpening(writer: ByteWriter, record: RecordName): void {
  writer.bytes(magicOf(record));
  writer.u16(FORMAT_VERSION);
  writer.u16(0);
  writer.u32(KNOWN_FEATURES);
}

/** What `writeOpening` writes. */
export function openingOf(record: RecordName): OwnedBytes {
  const writer = new ByteWriter();
  writeOpening(writer, record);
  return writer.finish();
}

/** Reads what `writeOpening` wrote. Throws `format-magic`, `format-version`, `format-range`, `format-truncated`. */
export function readOpening(reader: ByteReader, record: RecordName): void {
  const magic = reader.bytes(MAGIC_BYTES);
  if (!magicOf(record).every((byte, i) => byte === magic[i]))
    throw new VitrineError('format-magic', { record });
  const version = reader.u16();
  if (version !== FORMAT_VERSION) {
    throw new VitrineError('format-version', { record, version, expected: FORMAT_VERSION });
  }
  const reserved = reader.u16();
  if (reserved !== 0) reader.refuse('format-range', { field: 'reserved', value: reserved });
  const features = reader.u32();
  if (features !== KNOWN_FEATURES) throw new VitrineError('format-version', { record, features });
}

/** A whole record: prefix, what `writeBody` writes, checksum. */
export function sealRecord(record: RecordName, writeBody: (writer: ByteWriter) => void): OwnedBytes {
  const writer = new ByteWriter();
  writeOpening(writer, record);
  writer.u32(0);
  writeBody(writer);
  writer.u32(0);
  writer.patchU32(LENGTH_OFFSET, writer.length);
  const bytes = writer.finish();
  const end = bytes.length - CHECKSUM_BYTES;
  new DataView(bytes.buffer).setUint32(end, crc32c(bytes, 0, end), true);
  return bytes;
}

/**
 * A reader of the body of a record whose prefix, length and checksum are right.
 *
 * Throws `format-magic`, `format-version`, `format-limit`, `format-truncated`, `format-range`, `format-checksum`.
 */
export function openRecord(bytes: OwnedBytes, record: RecordName, maxBytes: number): ByteReader {
  const prefix = new ByteReader(bytes, record);
  readOpening(prefix, record);
  const lengthBytes = prefix.u32();
  if (lengthBytes > maxBytes) prefix.refuse('format-limit', { field: 'length', lengthBytes, maxBytes });
  if (lengthBytes < PREFIX_BYTES + CHECKSUM_BYTES) {
    prefix.refuse('format-range', { field: 'length', lengthBytes });
  }
  if (lengthBytes > bytes.length) {
    prefix.refuse('format-truncated', { lengthBytes, presentBytes: bytes.length });
  }
  if (lengthBytes < bytes.length) {
    prefix.refuse('format-range', { field: 'trailing bytes', count: bytes.length - lengthBytes });
  }
  const end = lengthBytes - CHECKSUM_BYTES;
  const stored = new ByteReader(bytes, record, end).u32();
  const computed = crc32c(bytes, 0, end);
  if (stored !== computed) throw new VitrineError('format-checksum', { record, stored, computed });
  return new ByteReader(bytes, record, PREFIX_BYTES, end);
}

// The last 32 bytes of a pack: how a reader that has nothing but the file finds the index.
//
// | Offset | Size | Field                                    |
// |--------|------|------------------------------------------|
// | 0      | 8    | where the index starts in the pack       |
// | 8      | 4    | length of the index                      |
// | 12     | 4    | zero                                     |
// | 16     | 4    | zero                                     |
// | 20     | 4    | CRC-32C of the 20 bytes before           |
// | 24     | 8    | the magic of a pack                      |

import { ByteReader } from '../base/byte-reader.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { crc32c } from './crc32c.ts';
import { FOOTER_BYTES, OPENING_BYTES } from './pack-layout.ts';
import { MAGIC_BYTES, magicOf } from './prefix.ts';

/** Where a pack's index lies. */
export interface Footer {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

const CHECKED_BYTES = 20;

export function encodeFooter(footer: Footer): OwnedBytes {
  const writer = new ByteWriter();
  writer.u64(footer.offsetBytes);
  writer.u32(footer.lengthBytes);
  writer.u64(0);
  writer.u32(crc32c(writer.finish()));
  writer.bytes(magicOf('pack'));
  return writer.finish();
}

/**
 * The footer of a pack of `packLengthBytes`, from its last 32 bytes.
 *
 * Throws `format-magic`, `format-checksum`, `format-range`, `format-truncated`.
 */
export function decodeFooter(bytes: OwnedBytes, packLengthBytes: number): Footer {
  const reader = new ByteReader(bytes, 'pack footer');
  const checked = reader.bytes(CHECKED_BYTES);
  const stored = reader.u32();
  const magic = reader.bytes(MAGIC_BYTES);
  reader.end();
  if (!magicOf('pack').every((byte, i) => byte === magic[i])) {
    throw new VitrineError('format-magic', { record: 'pack footer' });
  }
  const computed = crc32c(checked);
  if (stored !== computed)
    throw new VitrineError('format-checksum', { record: 'pack footer', stored, computed });
  const fields = new ByteReader(checked, 'pack footer');
  const offsetBytes = fields.u64();
  const lengthBytes = fields.u32();
  const reserved = fields.u64();
  if (reserved !== 0) fields.refuse('format-range', { field: 'reserved', value: reserved });
  if (offsetBytes < OPENING_BYTES || offsetBytes + lengthBytes + FOOTER_BYTES !== packLengthBytes) {
    fields.refuse('format-range', { field: 'index place', offsetBytes, lengthBytes, packLengthBytes });
  }
  return { offsetBytes, lengthBytes };
}

// CRC-32C (Castagnoli; RFC 3720 appendix B.4): polynomial 0x1EDC6F41 reflected, start and final XOR 0xFFFFFFFF.
//
// It finds accidents, every single flipped bit among them, before a decoder or decompressor sees the bytes; it is
// no defence against intent, which is what BLAKE3 names are for. Eight tables, eight bytes a step.

const POLYNOMIAL = 0x82f6_3b78;
const STRIDE = 8;

let tables: Uint32Array<ArrayBuffer> | undefined;

/** The CRC-32C of `bytes`, or of a part of them, as an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length): number {
  tables ??= makeTables();
  const t = tables;
  let crc = -1;
  let at = start;
  // Indices are in range: each is a byte plus a multiple of 256 below 2,048, and `at` stays below `end`.
  for (const last = end - STRIDE; at <= last; at += STRIDE) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
    crc =
      t[1792 + (low & 255)]! ^
      t[1536 + ((low >>> 8) & 255)]! ^
      t[1280 + ((low >>> 16) & 255)]! ^
      t[1024 + (low >>> 24)]! ^
      t[768 + bytes[at + 4]!]! ^
      t[512 + bytes[at + 5]!]! ^
      t[256 + bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!;
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ t[(crc ^ bytes[at]!) & 255]!;
  return ~crc >>> 0;
}

function makeTables(): Uint32Array<ArrayBuffer> {
  const made = new Uint32Array(256 * STRIDE);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
    made[byte] = crc;
  }
  for (let i = 256; i < made.length; i++) {
    const previous = made[i - 256]!;
    made[i] = (previous >>> 8) ^ made[previous & 255]!;
  }
  return made;
}

// Bytes from their sparse form, whose layout stands in pack-sparse.ts. It may be anybody's: every count is held against the
// length that was given before a byte is written.

/** See `Kernels.unpackSparse`. */
export function unpackSparse(packed: usize, packedBytes: u32, out: usize, lengthBytes: u32): u32 {
  const lines = lengthBytes >> 6;
  const mapBytes = (lines + 7) >> 3;
  if (packedBytes < mapBytes) return 0;
  let marked: u32 = 0;
  for (let i: u32 = 0; i < mapBytes; i++) marked += popcnt<u32>(load<u8>(packed + i));
  if (lines & 7 && load<u8>(packed + mapBytes - 1) >> (lines & 7) != 0) return 0;
  const masksEnd = mapBytes + (marked << 1);
  if (packedBytes < masksEnd) return 0;
  let count: u32 = 0;
  for (let i: u32 = mapBytes; i < masksEnd; i += 2) {
    const mask: u32 = load<u16>(packed + i);
    // A line of zeros has no mask: a second way to write the same bytes.
    if (mask == 0) return 0;
    count += popcnt<u32>(mask);
  }
  if (packedBytes != masksEnd + (count << 2)) return 0;

  memory.fill(out, 0, lengthBytes);
  let masks = packed + mapBytes;
  let words = packed + masksEnd;
  for (let i: u32 = 0; i < mapBytes; i++) {
    for (let map: u32 = load<u8>(packed + i); map != 0; map &= map - 1) {
      const line = out + (((i << 3) + ctz<u32>(map)) << 6);
      let mask: u32 = load<u16>(masks);
      masks += 2;
      for (; mask != 0; mask &= mask - 1) {
        store<u32>(line + (ctz<u32>(mask) << 2), load<u32>(words));
        words += 4;
      }
    }
  }
  return 1;
}

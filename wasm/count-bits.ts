// How many bits of a bitmap are set. A 64-bit popcount is one instruction; SIMD needs six for sixteen bytes.

/** See `Kernels.countBits`. */
export function countBits(bits: usize, bitCount: u32): u32 {
  let count: u32 = 0;
  for (let words = bitCount >> 6; words != 0; words--) {
    count += u32(popcnt<u64>(load<u64>(bits)));
    bits += 8;
  }
  let left = bitCount & 63;
  for (; left >= 8; left -= 8) count += popcnt<u32>(load<u8>(bits++));
  if (left != 0) count += popcnt<u32>(load<u8>(bits) & ((1 << left) - 1));
  return count;
}

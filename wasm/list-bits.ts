// The set bits of a bitmap as a list of indices.

/** See `Kernels.listBits`. */
export function listBits(bits: usize, bitCount: u32, list: usize): u32 {
  const start = list;
  let index: u32 = 0;
  for (let words = bitCount >> 6; words != 0; words--) {
    for (let word = load<u64>(bits); word != 0; word &= word - 1) {
      store<u32>(list, index + u32(ctz<u64>(word)));
      list += 4;
    }
    bits += 8;
    index += 64;
  }
  // Byte by byte at the end: a word would reach past the bitmap.
  while (index < bitCount) {
    let byte: u32 = load<u8>(bits++);
    const left = bitCount - index;
    if (left < 8) byte &= (1 << left) - 1;
    for (; byte != 0; byte &= byte - 1) {
      store<u32>(list, index + ctz<u32>(byte));
      list += 4;
    }
    if (left <= 8) break;
    index += 8;
  }
  return u32(list - start) >> 2;
}

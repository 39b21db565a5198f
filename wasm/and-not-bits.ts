// One bitmap without the bits of another, in place.

/** See `Kernels.andNotBits`. */
export function andNotBits(into: usize, from: usize, lengthBytes: u32): void {
  let left = lengthBytes;
  if (ASC_FEATURE_SIMD) {
    for (; left >= 16; left -= 16) {
      v128.store(into, v128.andnot(v128.load(into), v128.load(from)));
      into += 16;
      from += 16;
    }
  }
  for (; left >= 8; left -= 8) {
    store<u64>(into, load<u64>(into) & ~load<u64>(from));
    into += 8;
    from += 8;
  }
  for (; left != 0; left--) {
    store<u8>(into, load<u8>(into) & ~load<u8>(from++));
    into++;
  }
}

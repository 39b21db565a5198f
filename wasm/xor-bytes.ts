// The XOR of two runs of bytes, and how many of its bytes are not zero.
//
// `out` may be `a` or `b`: each step loads all it needs before it stores.

/** See `Kernels.xorBytes`. */
export function xorBytes(a: usize, b: usize, out: usize, lengthBytes: u32): u32 {
  let different: u32 = 0;
  let left = lengthBytes;
  if (ASC_FEATURE_SIMD) {
    let equal = i32x4.splat(0);
    while (left >= 64) {
      // A comparison gives -1 for an equal byte; counts of one byte hold 255 steps of at most four.
      let counts = i8x16.splat(0);
      for (let steps = min<u32>(left >> 6, 63); steps != 0; steps--) {
        const d0 = v128.xor(v128.load(a, 0), v128.load(b, 0));
        const d1 = v128.xor(v128.load(a, 16), v128.load(b, 16));
        const d2 = v128.xor(v128.load(a, 32), v128.load(b, 32));
        const d3 = v128.xor(v128.load(a, 48), v128.load(b, 48));
        v128.store(out, d0, 0);
        v128.store(out, d1, 16);
        v128.store(out, d2, 32);
        v128.store(out, d3, 48);
        const zero = i8x16.splat(0);
        const near = i8x16.add(i8x16.eq(d0, zero), i8x16.eq(d1, zero));
        const far = i8x16.add(i8x16.eq(d2, zero), i8x16.eq(d3, zero));
        counts = i8x16.sub(counts, i8x16.add(near, far));
        a += 64;
        b += 64;
        out += 64;
        left -= 64;
        different += 64;
      }
      equal = i32x4.add(equal, i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(counts)));
    }
    different -= i32x4.extract_lane(equal, 0);
    different -= i32x4.extract_lane(equal, 1);
    different -= i32x4.extract_lane(equal, 2);
    different -= i32x4.extract_lane(equal, 3);
  }
  for (; left >= 8; left -= 8) {
    const delta = load<u64>(a) ^ load<u64>(b);
    store<u64>(out, delta);
    different += countNonZeroBytes(delta);
    a += 8;
    b += 8;
    out += 8;
  }
  for (; left != 0; left--) {
    const delta = load<u8>(a++) ^ load<u8>(b++);
    store<u8>(out++, delta);
    different += u32(delta != 0);
  }
  return different;
}

// @ts-ignore: decorators are valid on functions here
@inline
function countNonZeroBytes(word: u64): u32 {
  // Adding 0x7f carries into the top bit of a byte unless its low seven bits are zero, and never out of it.
  const low: u64 = 0x7f7f_7f7f_7f7f_7f7f;
  return u32(popcnt<u64>((((word & low) + low) | word) & ~low));
}

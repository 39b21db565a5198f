// Which pages differ between two runs of pages.
//
// Lengths are counted down instead of comparing addresses with an end: a run may end at 2^32, which is 0.

/** See `Kernels.comparePages`. */
export function comparePages(a: usize, b: usize, pageBytes: u32, pageCount: u32, bits: usize): u32 {
  let different: u32 = 0;
  let byte: u32 = 0;
  for (let page: u32 = 0; page < pageCount; page++) {
    if (differs(a, b, pageBytes)) {
      byte |= 1 << (page & 7);
      different++;
    }
    a += pageBytes;
    b += pageBytes;
    if ((page & 7) == 7) {
      store<u8>(bits++, byte);
      byte = 0;
    }
  }
  if (pageCount & 7) store<u8>(bits, byte);
  return different;
}

// @ts-ignore: decorators are valid on functions here
@inline
function differs(a: usize, b: usize, pageBytes: u32): bool {
  if (ASC_FEATURE_SIMD) {
    for (let left = pageBytes; left != 0; left -= 128) {
      const d0 = v128.xor(v128.load(a, 0), v128.load(b, 0));
      const d1 = v128.xor(v128.load(a, 16), v128.load(b, 16));
      const d2 = v128.xor(v128.load(a, 32), v128.load(b, 32));
      const d3 = v128.xor(v128.load(a, 48), v128.load(b, 48));
      const d4 = v128.xor(v128.load(a, 64), v128.load(b, 64));
      const d5 = v128.xor(v128.load(a, 80), v128.load(b, 80));
      const d6 = v128.xor(v128.load(a, 96), v128.load(b, 96));
      const d7 = v128.xor(v128.load(a, 112), v128.load(b, 112));
      const near = v128.or(v128.or(d0, d1), v128.or(d2, d3));
      const far = v128.or(v128.or(d4, d5), v128.or(d6, d7));
      if (v128.any_true(v128.or(near, far))) return true;
      a += 128;
      b += 128;
    }
  } else {
    for (let left = pageBytes; left != 0; left -= 32) {
      const d0 = load<u64>(a, 0) ^ load<u64>(b, 0);
      const d1 = load<u64>(a, 8) ^ load<u64>(b, 8);
      const d2 = load<u64>(a, 16) ^ load<u64>(b, 16);
      const d3 = load<u64>(a, 24) ^ load<u64>(b, 24);
      if (d0 | d1 | (d2 | d3)) return true;
      a += 32;
      b += 32;
    }
  }
  return false;
}

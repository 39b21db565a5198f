// Whether a page is one 8-byte pattern over and over: the inner loop of the zero and fill tests.

// @ts-ignore: decorators are valid on functions here
@inline
export function repeats(page: usize, pageBytes: u32, pattern: u64): bool {
  if (ASC_FEATURE_SIMD) {
    const wide = i64x2.splat(pattern);
    // Most pages that are no fill show it at once; a full step costs four times as much.
    if (v128.any_true(v128.xor(v128.load(page), wide))) return false;
    for (let left = pageBytes; left != 0; left -= 64) {
      const d0 = v128.xor(v128.load(page, 0), wide);
      const d1 = v128.xor(v128.load(page, 16), wide);
      const d2 = v128.xor(v128.load(page, 32), wide);
      const d3 = v128.xor(v128.load(page, 48), wide);
      if (v128.any_true(v128.or(v128.or(d0, d1), v128.or(d2, d3)))) return false;
      page += 64;
    }
  } else {
    for (let left = pageBytes; left != 0; left -= 32) {
      const d0 = load<u64>(page, 0) ^ pattern;
      const d1 = load<u64>(page, 8) ^ pattern;
      const d2 = load<u64>(page, 16) ^ pattern;
      const d3 = load<u64>(page, 24) ^ pattern;
      if (d0 | d1 | (d2 | d3)) return false;
      page += 32;
    }
  }
  return true;
}

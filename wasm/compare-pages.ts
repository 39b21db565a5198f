// Which pages differ between two runs of pages.
//
// Equal memory is compared as fast as it can be read, and with loads of 16 bytes reading is the hard part. What was
// tried, GB/s over 256 MiB of equal memory, where native memcmp (loads of 32 and 64 bytes) reads 7.8 in the same run:
//
//   one page at a time, 32 / 64 / 128 / 256 bytes a step   6.3 / 6.7 / 7.0 / 6.7
//   the same, loading one byte 512 to 4096 ahead           7.0 to 7.1
//   the same, first one byte of each line of 512           7.35
//   halves, quarters of a page together                    5.8, 4.9
//   two pages, four pages together                         7.4, 7.3
//   two pages, first one byte of each line of 256 / 512    7.6 / 7.65: this file, since pages may have 256 bytes
//
// Two pages are four streams for the prefetcher, and a line that one load has asked for is there for the other three.
//
// That was an Intel Xeon. On an AMD EPYC with busy neighbours, 4 MiB at a time, memcmp reads 14 and this file 6.2; one page at
// a time 6.3, four pages together 8.2, eight 6.1, touching lines first takes a third of any of them. Nothing tried is best on
// both: four pages would cost the Xeon one part in twenty.
//
// Lengths are counted down instead of comparing addresses with an end: a run may end at 2^32, which is 0.

const STAGE_BYTES: u32 = 256;

/** See `Kernels.comparePages`. */
export function comparePages(a: usize, b: usize, pageBytes: u32, pageCount: u32, bits: usize): u32 {
  let different: u32 = 0;
  let byte: u32 = 0;
  let page: u32 = 0;
  for (let pairs = pageCount >> 1; pairs != 0; pairs--) {
    const left = ASC_FEATURE_SIMD ? leftAfterEqual(a, b, pageBytes) : pageBytes;
    if (left != 0) {
      const walked = pageBytes - left;
      const first = u32(differs(a + walked, b + walked, left));
      const second = u32(differs(a + pageBytes + walked, b + pageBytes + walked, left));
      byte |= (first | (second << 1)) << (page & 7);
      different += first + second;
    }
    a += 2 * pageBytes;
    b += 2 * pageBytes;
    page += 2;
    if ((page & 7) == 0) {
      store<u8>(bits++, byte);
      byte = 0;
    }
  }
  if (pageCount & 1) {
    const last = u32(differs(a, b, pageBytes));
    byte |= last << (page & 7);
    different += last;
  }
  if (pageCount & 7) store<u8>(bits, byte);
  return different;
}

/** Walks two pages together while both are equal; returns how much of each is left, 0 when there is no difference. */
// @ts-ignore: decorators are valid on functions here
@inline
function leftAfterEqual(a0: usize, b0: usize, pageBytes: u32): u32 {
  let a1 = a0 + pageBytes;
  let b1 = b0 + pageBytes;
  let left = pageBytes;
  for (; left != 0; left -= STAGE_BYTES) {
    touch(a0);
    touch(b0);
    touch(a1);
    touch(b1);
    if (v128.any_true(v128.or(difference64(a0, b0), difference64(a1, b1)))) break;
    if (v128.any_true(v128.or(difference64(a0 + 64, b0 + 64), difference64(a1 + 64, b1 + 64)))) break;
    if (v128.any_true(v128.or(difference64(a0 + 128, b0 + 128), difference64(a1 + 128, b1 + 128)))) break;
    if (v128.any_true(v128.or(difference64(a0 + 192, b0 + 192), difference64(a1 + 192, b1 + 192)))) break;
    a0 += STAGE_BYTES;
    b0 += STAGE_BYTES;
    a1 += STAGE_BYTES;
    b1 += STAGE_BYTES;
  }
  return left;
}

/** Loads that only bring four lines in; no compiler may drop a load, since it may trap. */
// @ts-ignore: decorators are valid on functions here
@inline
function touch(at: usize): void {
  load<u8>(at, 0);
  load<u8>(at, 64);
  load<u8>(at, 128);
  load<u8>(at, 192);
}

/** A vector that is zero where 64 bytes are equal. */
// @ts-ignore: decorators are valid on functions here
@inline
function difference64(a: usize, b: usize): v128 {
  const d0 = v128.xor(v128.load(a, 0), v128.load(b, 0));
  const d1 = v128.xor(v128.load(a, 16), v128.load(b, 16));
  const d2 = v128.xor(v128.load(a, 32), v128.load(b, 32));
  const d3 = v128.xor(v128.load(a, 48), v128.load(b, 48));
  return v128.or(v128.or(d0, d1), v128.or(d2, d3));
}

function differs(a: usize, b: usize, lengthBytes: u32): bool {
  if (ASC_FEATURE_SIMD) {
    for (let left = lengthBytes; left != 0; left -= 128) {
      if (v128.any_true(v128.or(difference64(a, b), difference64(a + 64, b + 64)))) return true;
      a += 128;
      b += 128;
    }
  } else {
    for (let left = lengthBytes; left != 0; left -= 32) {
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

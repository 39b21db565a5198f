// The sparse form of bytes, most of whose 32-bit words are zero: what is left of them, and where it was.
//
// | Size        | Field                                                          |
// |-------------|----------------------------------------------------------------|
// | ceil(L / 8) | a bit for each of L lines of 64 bytes: it is not all zeros     |
// | 2 × M       | for each of M such lines a bit for each word that is not zero  |
// | 4 × W       | those words                                                    |
//
// Words are written behind the most masks that there can be and moved down at the end, so that the bytes are read once.
// Zeros are passed over at 64 bytes a step, as fast as memory is read.

/** See `Kernels.packSparse`. */
export function packSparse(bytes: usize, lengthBytes: u32, out: usize): u32 {
  const lines = lengthBytes >> 6;
  let map = out;
  let masks = out + ((lines + 7) >> 3);
  const first = masks + (lines << 1);
  let words = first;
  let marked: u32 = 0;
  for (let line: u32 = 0; line < lines; line++) {
    let mask = nonZeroWords(bytes);
    if (mask != 0) {
      marked |= 1 << (line & 7);
      store<u16>(masks, mask);
      masks += 2;
      do {
        store<u32>(words, load<u32>(bytes + (ctz<u32>(mask) << 2)));
        words += 4;
        mask &= mask - 1;
      } while (mask != 0);
    }
    bytes += 64;
    if ((line & 7) == 7) {
      store<u8>(map++, marked);
      marked = 0;
    }
  }
  if (lines & 7) store<u8>(map, marked);
  const count = words - first;
  memory.copy(masks, first, count);
  return masks + count - out;
}

// @ts-ignore: decorators are valid on functions here
@inline
function nonZeroWords(line: usize): u32 {
  if (ASC_FEATURE_SIMD) {
    const a = v128.load(line, 0);
    const b = v128.load(line, 16);
    const c = v128.load(line, 32);
    const d = v128.load(line, 48);
    if (!v128.any_true(v128.or(v128.or(a, b), v128.or(c, d)))) return 0;
    const zero = i32x4.splat(0);
    const low = i16x8.narrow_i32x4_s(i32x4.ne(a, zero), i32x4.ne(b, zero));
    const high = i16x8.narrow_i32x4_s(i32x4.ne(c, zero), i32x4.ne(d, zero));
    return i8x16.bitmask(i8x16.narrow_i16x8_s(low, high));
  }
  const near = load<u64>(line, 0) | load<u64>(line, 8) | load<u64>(line, 16) | load<u64>(line, 24);
  const far = load<u64>(line, 32) | load<u64>(line, 40) | load<u64>(line, 48) | load<u64>(line, 56);
  if ((near | far) == 0) return 0;
  let mask: u32 = 0;
  for (let word: u32 = 0; word < 16; word++) {
    mask |= u32(load<u32>(line + (word << 2)) != 0) << word;
  }
  return mask;
}

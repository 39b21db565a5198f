// One compression after another, one input at a time: the plain build's BLAKE3, and the odd lane of the SIMD build.
//
// The state is sixteen locals, since only locals become registers, so the eight quarter rounds are written out. The
// seven rounds are a loop that permutes the message in memory: written out they would be
// three times as long.

import { BLOCK_BYTES, IV0, IV1, IV2, IV3, IV4, IV5, IV6, IV7 } from './blake3';
import { message } from './scratch';

const ROUNDS: u32 = 7;

/** The chaining value of `lengthBytes` bytes, at most one chunk; none are one empty block. `out` may be `input`. */
export function hashOne(
  input: usize,
  lengthBytes: u32,
  counter: u32,
  flags: u32,
  startFlags: u32,
  endFlags: u32,
  out: usize,
): void {
  const m = message();
  let c0 = IV0;
  let c1 = IV1;
  let c2 = IV2;
  let c3 = IV3;
  let c4 = IV4;
  let c5 = IV5;
  let c6 = IV6;
  let c7 = IV7;
  let blockFlags = flags | startFlags;
  let more = true;
  while (more) {
    const blockBytes = min<u32>(lengthBytes, BLOCK_BYTES);
    more = lengthBytes > BLOCK_BYTES;
    if (!more) blockFlags |= endFlags;
    if (blockBytes != BLOCK_BYTES) memory.fill(m, 0, BLOCK_BYTES);
    memory.copy(m, input, blockBytes);

    let s0 = c0;
    let s1 = c1;
    let s2 = c2;
    let s3 = c3;
    let s4 = c4;
    let s5 = c5;
    let s6 = c6;
    let s7 = c7;
    let s8 = IV0;
    let s9 = IV1;
    let s10 = IV2;
    let s11 = IV3;
    let s12 = counter;
    // The upper half of the counter: 2^32 chunks are more than a memory holds.
    let s13: u32 = 0;
    let s14 = blockBytes;
    let s15 = blockFlags;
    for (let round: u32 = 1; ; round++) {
      s0 += s4 + load<u32>(m, 0);
      s12 = rotr(s12 ^ s0, 16);
      s8 += s12;
      s4 = rotr(s4 ^ s8, 12);
      s0 += s4 + load<u32>(m, 4);
      s12 = rotr(s12 ^ s0, 8);
      s8 += s12;
      s4 = rotr(s4 ^ s8, 7);

      s1 += s5 + load<u32>(m, 8);
      s13 = rotr(s13 ^ s1, 16);
      s9 += s13;
      s5 = rotr(s5 ^ s9, 12);
      s1 += s5 + load<u32>(m, 12);
      s13 = rotr(s13 ^ s1, 8);
      s9 += s13;
      s5 = rotr(s5 ^ s9, 7);

      s2 += s6 + load<u32>(m, 16);
      s14 = rotr(s14 ^ s2, 16);
      s10 += s14;
      s6 = rotr(s6 ^ s10, 12);
      s2 += s6 + load<u32>(m, 20);
      s14 = rotr(s14 ^ s2, 8);
      s10 += s14;
      s6 = rotr(s6 ^ s10, 7);

      s3 += s7 + load<u32>(m, 24);
      s15 = rotr(s15 ^ s3, 16);
      s11 += s15;
      s7 = rotr(s7 ^ s11, 12);
      s3 += s7 + load<u32>(m, 28);
      s15 = rotr(s15 ^ s3, 8);
      s11 += s15;
      s7 = rotr(s7 ^ s11, 7);

      s0 += s5 + load<u32>(m, 32);
      s15 = rotr(s15 ^ s0, 16);
      s10 += s15;
      s5 = rotr(s5 ^ s10, 12);
      s0 += s5 + load<u32>(m, 36);
      s15 = rotr(s15 ^ s0, 8);
      s10 += s15;
      s5 = rotr(s5 ^ s10, 7);

      s1 += s6 + load<u32>(m, 40);
      s12 = rotr(s12 ^ s1, 16);
      s11 += s12;
      s6 = rotr(s6 ^ s11, 12);
      s1 += s6 + load<u32>(m, 44);
      s12 = rotr(s12 ^ s1, 8);
      s11 += s12;
      s6 = rotr(s6 ^ s11, 7);

      s2 += s7 + load<u32>(m, 48);
      s13 = rotr(s13 ^ s2, 16);
      s8 += s13;
      s7 = rotr(s7 ^ s8, 12);
      s2 += s7 + load<u32>(m, 52);
      s13 = rotr(s13 ^ s2, 8);
      s8 += s13;
      s7 = rotr(s7 ^ s8, 7);

      s3 += s4 + load<u32>(m, 56);
      s14 = rotr(s14 ^ s3, 16);
      s9 += s14;
      s4 = rotr(s4 ^ s9, 12);
      s3 += s4 + load<u32>(m, 60);
      s14 = rotr(s14 ^ s3, 8);
      s9 += s14;
      s4 = rotr(s4 ^ s9, 7);

      if (round == ROUNDS) break;
      permute(m);
    }
    c0 = s0 ^ s8;
    c1 = s1 ^ s9;
    c2 = s2 ^ s10;
    c3 = s3 ^ s11;
    c4 = s4 ^ s12;
    c5 = s5 ^ s13;
    c6 = s6 ^ s14;
    c7 = s7 ^ s15;
    input += BLOCK_BYTES;
    lengthBytes -= blockBytes;
    blockFlags = flags;
  }

  store<u32>(out, c0, 0);
  store<u32>(out, c1, 4);
  store<u32>(out, c2, 8);
  store<u32>(out, c3, 12);
  store<u32>(out, c4, 16);
  store<u32>(out, c5, 20);
  store<u32>(out, c6, 24);
  store<u32>(out, c7, 28);
}

/** Puts the message words in the order of the next round. */
// @ts-ignore: decorators are valid on functions here
@inline
function permute(m: usize): void {
  const w0 = load<u32>(m, 8);
  const w1 = load<u32>(m, 24);
  const w2 = load<u32>(m, 12);
  const w3 = load<u32>(m, 40);
  const w4 = load<u32>(m, 28);
  const w5 = load<u32>(m, 0);
  const w6 = load<u32>(m, 16);
  const w7 = load<u32>(m, 52);
  const w8 = load<u32>(m, 4);
  const w9 = load<u32>(m, 44);
  const w10 = load<u32>(m, 48);
  const w11 = load<u32>(m, 20);
  const w12 = load<u32>(m, 36);
  const w13 = load<u32>(m, 56);
  const w14 = load<u32>(m, 60);
  const w15 = load<u32>(m, 32);
  store<u32>(m, w0, 0);
  store<u32>(m, w1, 4);
  store<u32>(m, w2, 8);
  store<u32>(m, w3, 12);
  store<u32>(m, w4, 16);
  store<u32>(m, w5, 20);
  store<u32>(m, w6, 24);
  store<u32>(m, w7, 28);
  store<u32>(m, w8, 32);
  store<u32>(m, w9, 36);
  store<u32>(m, w10, 40);
  store<u32>(m, w11, 44);
  store<u32>(m, w12, 48);
  store<u32>(m, w13, 52);
  store<u32>(m, w14, 56);
  store<u32>(m, w15, 60);
}

// Four inputs at once, one in each 32-bit lane: the state is sixteen vectors, and a message word of all four inputs
// is one vector.
//
// The eight quarter rounds are written out because only locals become registers; the seven rounds are a loop that
// permutes the message in memory. Tried on 4 KiB pages (V8 11.3, Xeon with AVX-512), GB/s:
//
//   rounds written out, message in locals    2.3   10 KB of code
//   rounds written out, message in memory    2.2   10 KB
//   loop, offsets from a table               2.1   3.8 KB
//   loop, message permuted                   2.1   3.8 KB: this file
//   rotation by 16 and 8 as shuffle          -7 %  V8 builds the mask anew each time
//   rotation by 16 and 8 as two shifts, or   -15 %
//   four quarter rounds interleaved          no difference: the processor reorders far enough

import { BLOCK_BYTES, IV0, IV1, IV2, IV3, IV4, IV5, IV6, IV7 } from './blake3';
import { message } from './scratch';

const ROUNDS: u32 = 7;

/**
 * The chaining values of `lanes` inputs (two to four) of `blocks` full blocks each, `stride` bytes apart.
 *
 * Lanes past the last repeat it and are not written: nothing outside the inputs is read.
 */
export function hashLanes(
  inputs: usize,
  stride: u32,
  lanes: u32,
  blocks: u32,
  counter: u32,
  counterMask: u32,
  flags: u32,
  startFlags: u32,
  endFlags: u32,
  out: usize,
): void {
  const m = message();
  let p0 = inputs;
  let p1 = inputs + stride;
  let p2 = lanes > 2 ? p1 + stride : p1;
  let p3 = lanes > 3 ? p2 + stride : p2;
  const counters = v128.and(
    i32x4.add(i32x4.splat(counter), i32x4(0, 1, 2, 3)),
    i32x4.splat(counterMask),
  );

  let c0 = i32x4.splat(IV0);
  let c1 = i32x4.splat(IV1);
  let c2 = i32x4.splat(IV2);
  let c3 = i32x4.splat(IV3);
  let c4 = i32x4.splat(IV4);
  let c5 = i32x4.splat(IV5);
  let c6 = i32x4.splat(IV6);
  let c7 = i32x4.splat(IV7);
  let blockFlags = flags | startFlags;
  for (; blocks != 0; blocks--) {
    if (blocks == 1) blockFlags |= endFlags;
    transpose(p0, p1, p2, p3, m, 0);
    transpose(p0, p1, p2, p3, m, 16);
    transpose(p0, p1, p2, p3, m, 32);
    transpose(p0, p1, p2, p3, m, 48);
    p0 += BLOCK_BYTES;
    p1 += BLOCK_BYTES;
    p2 += BLOCK_BYTES;
    p3 += BLOCK_BYTES;

    let s0 = c0;
    let s1 = c1;
    let s2 = c2;
    let s3 = c3;
    let s4 = c4;
    let s5 = c5;
    let s6 = c6;
    let s7 = c7;
    let s8 = i32x4.splat(IV0);
    let s9 = i32x4.splat(IV1);
    let s10 = i32x4.splat(IV2);
    let s11 = i32x4.splat(IV3);
    let s12 = counters;
    // The upper half of the counters: 2^32 chunks are more than a memory holds.
    let s13 = i32x4.splat(0);
    let s14 = i32x4.splat(BLOCK_BYTES);
    let s15 = i32x4.splat(blockFlags);
    for (let round: u32 = 1; ; round++) {
      s0 = i32x4.add(i32x4.add(s0, s4), v128.load(m, 0));
      s12 = rotate16(v128.xor(s12, s0));
      s8 = i32x4.add(s8, s12);
      s4 = rotate12(v128.xor(s4, s8));
      s0 = i32x4.add(i32x4.add(s0, s4), v128.load(m, 16));
      s12 = rotate8(v128.xor(s12, s0));
      s8 = i32x4.add(s8, s12);
      s4 = rotate7(v128.xor(s4, s8));

      s1 = i32x4.add(i32x4.add(s1, s5), v128.load(m, 32));
      s13 = rotate16(v128.xor(s13, s1));
      s9 = i32x4.add(s9, s13);
      s5 = rotate12(v128.xor(s5, s9));
      s1 = i32x4.add(i32x4.add(s1, s5), v128.load(m, 48));
      s13 = rotate8(v128.xor(s13, s1));
      s9 = i32x4.add(s9, s13);
      s5 = rotate7(v128.xor(s5, s9));

      s2 = i32x4.add(i32x4.add(s2, s6), v128.load(m, 64));
      s14 = rotate16(v128.xor(s14, s2));
      s10 = i32x4.add(s10, s14);
      s6 = rotate12(v128.xor(s6, s10));
      s2 = i32x4.add(i32x4.add(s2, s6), v128.load(m, 80));
      s14 = rotate8(v128.xor(s14, s2));
      s10 = i32x4.add(s10, s14);
      s6 = rotate7(v128.xor(s6, s10));

      s3 = i32x4.add(i32x4.add(s3, s7), v128.load(m, 96));
      s15 = rotate16(v128.xor(s15, s3));
      s11 = i32x4.add(s11, s15);
      s7 = rotate12(v128.xor(s7, s11));
      s3 = i32x4.add(i32x4.add(s3, s7), v128.load(m, 112));
      s15 = rotate8(v128.xor(s15, s3));
      s11 = i32x4.add(s11, s15);
      s7 = rotate7(v128.xor(s7, s11));

      s0 = i32x4.add(i32x4.add(s0, s5), v128.load(m, 128));
      s15 = rotate16(v128.xor(s15, s0));
      s10 = i32x4.add(s10, s15);
      s5 = rotate12(v128.xor(s5, s10));
      s0 = i32x4.add(i32x4.add(s0, s5), v128.load(m, 144));
      s15 = rotate8(v128.xor(s15, s0));
      s10 = i32x4.add(s10, s15);
      s5 = rotate7(v128.xor(s5, s10));

      s1 = i32x4.add(i32x4.add(s1, s6), v128.load(m, 160));
      s12 = rotate16(v128.xor(s12, s1));
      s11 = i32x4.add(s11, s12);
      s6 = rotate12(v128.xor(s6, s11));
      s1 = i32x4.add(i32x4.add(s1, s6), v128.load(m, 176));
      s12 = rotate8(v128.xor(s12, s1));
      s11 = i32x4.add(s11, s12);
      s6 = rotate7(v128.xor(s6, s11));

      s2 = i32x4.add(i32x4.add(s2, s7), v128.load(m, 192));
      s13 = rotate16(v128.xor(s13, s2));
      s8 = i32x4.add(s8, s13);
      s7 = rotate12(v128.xor(s7, s8));
      s2 = i32x4.add(i32x4.add(s2, s7), v128.load(m, 208));
      s13 = rotate8(v128.xor(s13, s2));
      s8 = i32x4.add(s8, s13);
      s7 = rotate7(v128.xor(s7, s8));

      s3 = i32x4.add(i32x4.add(s3, s4), v128.load(m, 224));
      s14 = rotate16(v128.xor(s14, s3));
      s9 = i32x4.add(s9, s14);
      s4 = rotate12(v128.xor(s4, s9));
      s3 = i32x4.add(i32x4.add(s3, s4), v128.load(m, 240));
      s14 = rotate8(v128.xor(s14, s3));
      s9 = i32x4.add(s9, s14);
      s4 = rotate7(v128.xor(s4, s9));

      if (round == ROUNDS) break;
      permute(m);
    }
    c0 = v128.xor(s0, s8);
    c1 = v128.xor(s1, s9);
    c2 = v128.xor(s2, s10);
    c3 = v128.xor(s3, s11);
    c4 = v128.xor(s4, s12);
    c5 = v128.xor(s5, s13);
    c6 = v128.xor(s6, s14);
    c7 = v128.xor(s7, s15);
    blockFlags = flags;
  }

  // Back from one word of four lanes to four words of one lane.
  const low0 = v128.shuffle<u32>(c0, c1, 0, 4, 1, 5);
  const high0 = v128.shuffle<u32>(c0, c1, 2, 6, 3, 7);
  const low2 = v128.shuffle<u32>(c2, c3, 0, 4, 1, 5);
  const high2 = v128.shuffle<u32>(c2, c3, 2, 6, 3, 7);
  const low1 = v128.shuffle<u32>(c4, c5, 0, 4, 1, 5);
  const high1 = v128.shuffle<u32>(c4, c5, 2, 6, 3, 7);
  const low3 = v128.shuffle<u32>(c6, c7, 0, 4, 1, 5);
  const high3 = v128.shuffle<u32>(c6, c7, 2, 6, 3, 7);
  v128.store(out, v128.shuffle<u64>(low0, low2, 0, 2), 0);
  v128.store(out, v128.shuffle<u64>(low1, low3, 0, 2), 16);
  v128.store(out, v128.shuffle<u64>(low0, low2, 1, 3), 32);
  v128.store(out, v128.shuffle<u64>(low1, low3, 1, 3), 48);
  if (lanes > 2) {
    v128.store(out, v128.shuffle<u64>(high0, high2, 0, 2), 64);
    v128.store(out, v128.shuffle<u64>(high1, high3, 0, 2), 80);
  }
  if (lanes > 3) {
    v128.store(out, v128.shuffle<u64>(high0, high2, 1, 3), 96);
    v128.store(out, v128.shuffle<u64>(high1, high3, 1, 3), 112);
  }
}

/** Writes message words `at / 4` to `at / 4 + 3` of four blocks as four vectors. */
// @ts-ignore: decorators are valid on functions here
@inline
function transpose(p0: usize, p1: usize, p2: usize, p3: usize, m: usize, at: usize): void {
  const x0 = v128.load(p0 + at);
  const x1 = v128.load(p1 + at);
  const x2 = v128.load(p2 + at);
  const x3 = v128.load(p3 + at);
  const low01 = v128.shuffle<u32>(x0, x1, 0, 4, 1, 5);
  const high01 = v128.shuffle<u32>(x0, x1, 2, 6, 3, 7);
  const low23 = v128.shuffle<u32>(x2, x3, 0, 4, 1, 5);
  const high23 = v128.shuffle<u32>(x2, x3, 2, 6, 3, 7);
  const to = m + 4 * at;
  v128.store(to, v128.shuffle<u64>(low01, low23, 0, 2), 0);
  v128.store(to, v128.shuffle<u64>(low01, low23, 1, 3), 16);
  v128.store(to, v128.shuffle<u64>(high01, high23, 0, 2), 32);
  v128.store(to, v128.shuffle<u64>(high01, high23, 1, 3), 48);
}

/** Puts the message words in the order of the next round. */
// @ts-ignore: decorators are valid on functions here
@inline
function permute(m: usize): void {
  const w0 = v128.load(m, 32);
  const w1 = v128.load(m, 96);
  const w2 = v128.load(m, 48);
  const w3 = v128.load(m, 160);
  const w4 = v128.load(m, 112);
  const w5 = v128.load(m, 0);
  const w6 = v128.load(m, 64);
  const w7 = v128.load(m, 208);
  const w8 = v128.load(m, 16);
  const w9 = v128.load(m, 176);
  const w10 = v128.load(m, 192);
  const w11 = v128.load(m, 80);
  const w12 = v128.load(m, 144);
  const w13 = v128.load(m, 224);
  const w14 = v128.load(m, 240);
  const w15 = v128.load(m, 128);
  v128.store(m, w0, 0);
  v128.store(m, w1, 16);
  v128.store(m, w2, 32);
  v128.store(m, w3, 48);
  v128.store(m, w4, 64);
  v128.store(m, w5, 80);
  v128.store(m, w6, 96);
  v128.store(m, w7, 112);
  v128.store(m, w8, 128);
  v128.store(m, w9, 144);
  v128.store(m, w10, 160);
  v128.store(m, w11, 176);
  v128.store(m, w12, 192);
  v128.store(m, w13, 208);
  v128.store(m, w14, 224);
  v128.store(m, w15, 240);
}

// Rotations to the right by whole bytes move bytes.

// @ts-ignore: decorators are valid on functions here
@inline
function rotate16(x: v128): v128 {
  return i8x16.swizzle(x, i8x16(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
}

// @ts-ignore: decorators are valid on functions here
@inline
function rotate8(x: v128): v128 {
  return i8x16.swizzle(x, i8x16(1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12));
}

// @ts-ignore: decorators are valid on functions here
@inline
function rotate12(x: v128): v128 {
  return v128.or(i32x4.shr_u(x, 12), i32x4.shl(x, 20));
}

// @ts-ignore: decorators are valid on functions here
@inline
function rotate7(x: v128): v128 {
  return v128.or(i32x4.shr_u(x, 7), i32x4.shl(x, 25));
}

// The kernels over bytes and bitmaps: XOR, list, count, or, and-not; each build against the obvious loop.

import { beforeAll, describe, expect, it } from 'vitest';
import { type Kernels, loadKernels } from '../../src/kernel/index.ts';
import { BUILDS, randomBytes, randomFrom, SEED } from './builds.ts';
import { Field } from './field.ts';

/** Around the steps of 8, 16 and 64 bytes, and past 63 steps of 64, where counts of one byte are summed up. */
const LENGTHS = [
  0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 71, 72, 127, 129, 4031, 4032, 4033, 4096, 4104, 9000,
];
const BIT_COUNTS = [0, 1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 71, 72, 73, 127, 128, 129, 1000, 4096];

describe.each(BUILDS)('%s', (build) => {
  let kernels: Kernels;
  beforeAll(async () => {
    kernels = await loadKernels({ build });
  });

  function checkXor(lengthBytes: number, random: () => number, offsets: number[]) {
    const a = randomBytes(random, lengthBytes);
    const b = sparselyChanged(a, random);
    const delta = a.map((byte, i) => byte ^ b[i]!);
    const different = delta.reduce((sum, byte) => sum + (byte === 0 ? 0 : 1), 0);
    for (const target of ['elsewhere', 'a', 'b'] as const) {
      const field = new Field(kernels, random);
      const [left, right] = [field.put(a, offsets[0]), field.put(b, offsets[1])];
      const out = { elsewhere: field.room(lengthBytes, offsets[2]), a: left, b: right }[target];
      field.writable(out, lengthBytes);
      const message = `${lengthBytes} bytes to ${target}, offsets ${offsets}, SEED=${SEED}`;
      expect(
        field.run(() => kernels.xorBytes(left, right, out, lengthBytes)),
        message,
      ).toBe(different);
      field.expectBytes(out, delta, message);
      field.close();
    }
  }

  it('xors bytes of any length, also in place', () => {
    const random = randomFrom(SEED);
    for (const lengthBytes of LENGTHS)
      checkXor(lengthBytes, random, [random() % 16, random() % 16, random() % 16]);
  });

  it('xors bytes at every alignment', () => {
    const random = randomFrom(SEED + 1);
    for (let first = 0; first < 16; first++) {
      for (let second = 0; second < 16; second++) checkXor(131, random, [first, second, random() % 16]);
    }
  });

  it('counts where all bytes differ and where none does', () => {
    const random = randomFrom(SEED + 2);
    const a = randomBytes(random, 100_003);
    const field = new Field(kernels, random);
    const [left, same, opposite] = [field.put(a), field.put(a), field.put(a.map((byte) => byte ^ 0xff))];
    const out = field.room(a.length);
    expect(field.run(() => kernels.xorBytes(left, same, out, a.length))).toBe(0);
    expect(field.run(() => kernels.xorBytes(left, opposite, out, a.length))).toBe(a.length);
    field.close();
  });

  it('lists and counts bits', () => {
    const random = randomFrom(SEED + 3);
    for (const bitCount of BIT_COUNTS) {
      for (const density of ['none', 'few', 'half', 'all'] as const) {
        for (let offset = 0; offset < 16; offset += bitCount < 130 ? 1 : 5) {
          const bitmap = bitmapOf(density, Math.ceil(bitCount / 8), random);
          const expected = Array.from({ length: bitCount }, (_, i) => i).filter(
            (i) => ((bitmap[i >> 3]! >> (i & 7)) & 1) === 1,
          );
          const field = new Field(kernels, random);
          const bits = field.put(bitmap, offset);
          const list = field.room(4 * expected.length);
          const message = `${bitCount} bits, ${density}, offset ${offset}, SEED=${SEED}`;
          expect(
            field.run(() => kernels.countBits(bits, bitCount)),
            message,
          ).toBe(expected.length);
          expect(
            field.run(() => kernels.listBits(bits, bitCount, list)),
            message,
          ).toBe(expected.length);
          field.expectBytes(list, new Uint8Array(Uint32Array.from(expected).buffer), message);
          field.close();
        }
      }
    }
  });

  it.each(['orBits', 'andNotBits'] as const)('%s of any length at every alignment', (kernel) => {
    const random = randomFrom(SEED + 4);
    const check = (lengthBytes: number, first: number, second: number) => {
      const [a, b] = [randomBytes(random, lengthBytes), randomBytes(random, lengthBytes)];
      const field = new Field(kernels, random);
      const into = field.writable(field.put(a, first), lengthBytes);
      const from = field.put(b, second);
      field.run(() => kernels[kernel](into, from, lengthBytes));
      const expected = a.map((byte, i) => (kernel === 'orBits' ? byte | b[i]! : byte & ~b[i]!));
      const message = `${lengthBytes} bytes, offsets ${first} and ${second}, SEED=${SEED}`;
      field.expectBytes(into, expected, message);
      field.close();
    };
    for (const lengthBytes of LENGTHS) check(lengthBytes, random() % 16, random() % 16);
    for (let first = 0; first < 16; first++) {
      for (let second = 0; second < 16; second++) check(43, first, second);
    }
  });
});

/** Mostly equal, so that both kinds of byte are counted; differences of one bit and of all. */
function sparselyChanged(bytes: Uint8Array, random: () => number): Uint8Array {
  return bytes.map((byte) =>
    random() % 4 === 0 ? byte ^ (random() % 2 === 0 ? 0xff : 1 << (random() % 8)) : byte,
  );
}

function bitmapOf(
  density: 'none' | 'few' | 'half' | 'all',
  lengthBytes: number,
  random: () => number,
): Uint8Array {
  const bitmap = randomBytes(random, lengthBytes);
  if (density === 'none') return bitmap.fill(0);
  if (density === 'all') return bitmap.fill(0xff);
  if (density === 'few') return bitmap.map((byte) => (byte % 13 === 0 ? 1 << (random() % 8) : 0));
  return bitmap;
}

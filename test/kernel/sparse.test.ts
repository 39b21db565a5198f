// The sparse form: each build against the drawing in wasm/pack-sparse.ts, and what is no sparse form is refused unseen.

import { beforeAll, describe, expect, it } from 'vitest';
import { type Kernels, loadKernels, sparseBytes } from '../../src/kernel/index.ts';
import { BUILDS, randomBytes, randomFrom, SEED } from './builds.ts';
import { Field } from './field.ts';

/** Lines around the steps of eight that share a byte of the map. */
const LINES = [0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 1024];

describe.each(BUILDS)('%s', (build) => {
  let kernels: Kernels;
  beforeAll(async () => {
    kernels = await loadKernels({ build });
  });

  function pack(bytes: Uint8Array, random: () => number): Uint8Array {
    const field = new Field(kernels, random);
    const at = field.put(bytes);
    const out = field.room(sparseBytes(bytes.length));
    const length = field.run(() => kernels.packSparse(at, bytes.length, out));
    const packed = field.read(out, length);
    field.close();
    return packed;
  }

  /** The bytes, or undefined when it was refused; then nothing was written. */
  function unpack(packed: Uint8Array, lengthBytes: number, random: () => number): Uint8Array | undefined {
    const field = new Field(kernels, random);
    const at = field.put(packed);
    const garbage = randomBytes(random, lengthBytes);
    const out = field.writable(field.put(garbage), lengthBytes);
    const isGood = field.run(() => kernels.unpackSparse(at, packed.length, out, lengthBytes));
    const bytes = field.read(out, lengthBytes);
    field.close();
    expect([0, 1]).toContain(isGood);
    if (isGood === 1) return bytes;
    expect(Buffer.compare(bytes, garbage), 'written though refused').toBe(0);
    return undefined;
  }

  it('is as it is drawn, and goes back', () => {
    const random = randomFrom(SEED);
    for (const lines of LINES) {
      for (const density of ['none', 'few', 'half', 'all', 'a bit'] as const) {
        const bytes = sparse(64 * lines, density, random);
        const packed = pack(bytes, random);
        const message = `${lines} lines, ${density}, SEED=${SEED}`;
        expect(Buffer.compare(packed, drawn(bytes)), message).toBe(0);
        expect(packed.length, message).toBeLessThanOrEqual(sparseBytes(bytes.length));
        const back = unpack(packed, bytes.length, random);
        expect(back !== undefined && Buffer.compare(back, bytes) === 0, message).toBe(true);
      }
    }
  });

  it('refuses every truncation, what is too long, and another length', () => {
    const random = randomFrom(SEED + 1);
    for (const lines of [1, 9, 24]) {
      const packed = pack(sparse(64 * lines, 'few', random), random);
      for (let length = 0; length < packed.length; length++) {
        expect(unpack(packed.subarray(0, length), 64 * lines, random), `${length}, SEED=${SEED}`).toBe(
          undefined,
        );
      }
      expect(unpack(Uint8Array.of(...packed, 0), 64 * lines, random)).toBe(undefined);
      expect(unpack(Uint8Array.of(...packed, 1, 2, 3, 4), 64 * lines, random)).toBe(undefined);
    }
  });

  it('refuses lines past the end and masks of nothing', () => {
    const random = randomFrom(SEED + 2);
    // Three lines: the fourth bit of the map is past them.
    expect(unpack(Uint8Array.of(0b1000, 1, 0, 9, 9, 9, 9), 192, random)).toBe(undefined);
    expect(unpack(Uint8Array.of(0b0100, 1, 0, 9, 9, 9, 9), 192, random)?.[128]).toBe(9);
    expect(unpack(Uint8Array.of(0b0100, 0, 0), 192, random)).toBe(undefined);
    expect(unpack(new Uint8Array(0), 0, random)?.length).toBe(0);
  });

  it('random bytes are refused, or are the form of what comes out', () => {
    const random = randomFrom(SEED + 3);
    let accepted = 0;
    for (let i = 0; i < 3000; i++) {
      const lines = random() % 5;
      // Few bits, so that some of them happen to be right.
      const packed = randomBytes(random, random() % 40).map((byte) => byte & (1 << (random() % 8)));
      const bytes = unpack(packed, 64 * lines, random);
      if (bytes === undefined) continue;
      accepted++;
      expect(unpack(pack(bytes, random), 64 * lines, random)).toEqual(bytes);
    }
    expect(accepted, `SEED=${SEED}`).toBeGreaterThan(0);
  });
});

function sparse(
  lengthBytes: number,
  density: 'none' | 'few' | 'half' | 'all' | 'a bit',
  random: () => number,
): Uint8Array {
  const bytes = randomBytes(random, lengthBytes);
  if (density === 'all') return bytes;
  const keep = { none: 0, few: 1 / 40, half: 1 / 2, 'a bit': 0 }[density];
  const kept = bytes.map((byte) => (random() / 2 ** 32 < keep ? byte : 0));
  // The highest bit of the last byte of a word alone: a sign to a comparison that is signed.
  if (density === 'a bit' && lengthBytes > 0) kept[4 * (random() % (lengthBytes / 4)) + 3] = 0x80;
  return kept;
}

/** The obvious way. */
function drawn(bytes: Uint8Array): Uint8Array {
  const lines = Array.from({ length: bytes.length / 64 }, (_, i) => [...bytes.subarray(64 * i, 64 * i + 64)]);
  const map = new Array<number>(Math.ceil(lines.length / 8)).fill(0);
  const masks: number[] = [];
  const kept: number[] = [];
  for (const [i, line] of lines.entries()) {
    const words = Array.from({ length: 16 }, (_, word) => line.slice(4 * word, 4 * word + 4));
    const bits = words.map((word) => (word.some((byte) => byte !== 0) ? 1 : 0));
    const mask = bits.reduce<number>((sum, bit, at) => sum + bit * 2 ** at, 0);
    if (mask === 0) continue;
    map[i >> 3]! += 2 ** (i & 7);
    masks.push(mask % 256, Math.floor(mask / 256));
    for (const word of words) if (word.some((byte) => byte !== 0)) kept.push(...word);
  }
  return Uint8Array.of(...map, ...masks, ...kept);
}

// The comparer against Buffer.compare: every length around its pieces, one bit of difference anywhere.

import { expect, it } from 'vitest';
import { openComparer } from '../../src/kernel/index.ts';
import { randomBytes, randomFrom, SEED } from './builds.ts';

const LENGTHS = [0, 1, 255, 256, 257, 4096, 65_535, 65_536, 65_537, 131_072, 200_001];

it('tells equal bytes from others, wherever they differ', async () => {
  const isSame = await openComparer();
  const random = randomFrom(SEED);
  for (const lengthBytes of LENGTHS) {
    const a = randomBytes(random, lengthBytes);
    const shared = new Uint8Array(new SharedArrayBuffer(lengthBytes + 3)).subarray(3);
    shared.set(a);
    expect(isSame(a, shared), `${lengthBytes} bytes, SEED=${SEED}`).toBe(true);
    for (const at of [0, lengthBytes - 1, random() % Math.max(1, lengthBytes)]) {
      if (at < 0 || at >= lengthBytes) continue;
      shared[at]! ^= 1 << (random() % 8);
      expect(isSame(a, shared), `${lengthBytes} bytes, byte ${at}, SEED=${SEED}`).toBe(false);
      expect(isSame(shared, a)).toBe(false);
      shared[at] = a[at]!;
    }
    expect(isSame(a, randomBytes(random, lengthBytes + 1))).toBe(false);
  }
});

it('is not misled by what a longer call left in its memory', async () => {
  const isSame = await openComparer();
  const random = randomFrom(SEED + 1);
  isSame(randomBytes(random, 65_536), randomBytes(random, 65_536));
  expect(isSame(new Uint8Array(10), new Uint8Array(10))).toBe(true);
});

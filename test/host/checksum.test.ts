// The checksum kernel of page threads against the one of the format, which says what a checksum is.

import { expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { crc32c } from '../../src/format/crc32c.ts';
import { loadChecksum } from '../../src/host/pages/checksum.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';

const SEED = seedOfRun();

test('bytes of every length up to several steps, from every offset in one', async () => {
  const checksum = await loadChecksum();
  const random = new Random(SEED);
  const bytes = random.bytes(200);
  for (let start = 0; start < 17; start++) {
    for (let end = start; end <= bytes.length; end++) {
      const part = bytes.subarray(start, end);
      if (checksum(part) !== crc32c(part)) expect.unreachable(`bytes ${start} to ${end} of seed ${SEED}`);
    }
  }
});

test('frames, what is longer than one, and bits that are flipped', async () => {
  const checksum = await loadChecksum();
  const random = new Random(SEED);
  const longest = random.bytes(2 * LIMITS.frameBytes + 5);
  for (const length of [LIMITS.frameBytes - 1, LIMITS.frameBytes, LIMITS.frameBytes + 1, longest.length]) {
    const bytes = longest.subarray(0, length);
    expect(checksum(bytes)).toBe(crc32c(bytes));
  }
  const frame = longest.slice(0, LIMITS.frameBytes);
  const whole = checksum(frame);
  for (let round = 0; round < 64; round++) {
    const at = random.below(frame.length);
    const bit = 1 << random.below(8);
    frame[at]! ^= bit;
    expect(checksum(frame)).toBe(crc32c(frame));
    expect(checksum(frame)).not.toBe(whole);
    frame[at]! ^= bit;
  }
});

test('zeros and ones, and the values of RFC 3720', async () => {
  const checksum = await loadChecksum();
  expect(checksum(new Uint8Array(0))).toBe(0);
  expect(checksum(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(checksum(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
});

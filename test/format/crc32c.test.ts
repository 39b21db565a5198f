// CRC-32C against published values and against the definition, a bit at a time.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc32c } from '../../src/format/crc32c.ts';
import { checksum } from '../reader/cursor.ts';
import { RUN } from './arbitraries.ts';

test('the values of RFC 3720, appendix B.4', () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(0))).toBe(0);
});

test('any bytes, of any length, and any part of them', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 100 }), (bytes, cut) => {
      const start = Math.min(cut, bytes.length);
      expect(crc32c(bytes)).toBe(checksum(bytes));
      expect(crc32c(bytes, start)).toBe(checksum(bytes.slice(start)));
      expect(crc32c(bytes, 0, start)).toBe(checksum(bytes.slice(0, start)));
    }),
    { ...RUN, numRuns: 300 },
  );
});

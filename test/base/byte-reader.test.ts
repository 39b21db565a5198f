// Fields written are fields read; what is not there is not read.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteReader } from '../../src/base/byte-reader.ts';
import { ByteWriter } from '../../src/base/byte-writer.ts';
import { isVitrineError } from '../../src/base/error.ts';
import { seedOfRun } from '../support/seed.ts';

const code = (call: () => unknown): string => {
  try {
    call();
    return 'none';
  } catch (error) {
    return isVitrineError(error) ? error.code : String(error);
  }
};

const field = fc.oneof(
  fc.record({ type: fc.constant('u8' as const), value: fc.nat({ max: 2 ** 8 - 1 }) }),
  fc.record({ type: fc.constant('u16' as const), value: fc.nat({ max: 2 ** 16 - 1 }) }),
  fc.record({ type: fc.constant('u32' as const), value: fc.nat({ max: 2 ** 32 - 1 }) }),
  fc.record({ type: fc.constant('u64' as const), value: fc.nat({ max: Number.MAX_SAFE_INTEGER }) }),
  fc.record({
    type: fc.constant('f64' as const),
    value: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value)),
  }),
);

test('any fields, and none past the end', () => {
  fc.assert(
    fc.property(fc.array(field, { maxLength: 200 }), (fields) => {
      const writer = new ByteWriter();
      for (const { type, value } of fields) writer[type](value);
      const bytes = writer.finish();
      const reader = new ByteReader(bytes, 'test');
      for (const { type, value } of fields) expect(reader[type]()).toBe(value);
      reader.end();
      for (const { type } of fields) expect(code(() => reader[type]())).toBe('format-truncated');
    }),
    { seed: seedOfRun(), numRuns: 60 },
  );
});

test('integers are little-endian', () => {
  const writer = new ByteWriter();
  writer.u64(0x0102_0304_0506);
  expect([...writer.finish()]).toEqual([6, 5, 4, 3, 2, 1, 0, 0]);
});

test('integers past 2^53 - 1 are refused', () => {
  const of = (...bytes: number[]): ByteReader => new ByteReader(Uint8Array.from(bytes), 'test');
  expect(of(255, 255, 255, 255, 255, 255, 31, 0).u64()).toBe(Number.MAX_SAFE_INTEGER);
  expect(code(() => of(0, 0, 0, 0, 0, 0, 32, 0).u64())).toBe('format-range');
  expect(code(() => of(0, 0, 0, 0, 0, 0, 0, 128).u64())).toBe('format-range');
});

test('a reader of a part stays in it', () => {
  const reader = new ByteReader(Uint8Array.of(1, 2, 3, 4), 'test', 1, 3);
  expect(reader.u16()).toBe(0x0302);
  expect(code(() => reader.u8())).toBe('format-truncated');
});

test('what is left over is refused', () => {
  const reader = new ByteReader(Uint8Array.of(1, 2), 'test');
  reader.u8();
  expect(code(() => reader.end())).toBe('format-range');
});

test('a byte order mark is kept', () => {
  const reader = new ByteReader(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61), 'test');
  expect(reader.text(4)).toBe('\ufeffa');
});

test('values that do not fit are a mistake of the caller', () => {
  const writer = new ByteWriter();
  const calls = [
    () => writer.u8(256),
    () => writer.u16(-1),
    () => writer.u32(0.5),
    () => writer.u64(2 ** 53),
    () => writer.f64(Number.NaN),
    () => writer.patchU32(0, 1),
  ];
  for (const call of calls) expect(code(call)).toMatch(/assertion/);
});

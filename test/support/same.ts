// Comparing memories of megabytes: the test library's own equality looks at each byte as a property.

import { expect } from 'vitest';

/** Fails with the first differing offset, or the lengths. */
export function expectSame(actual: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(actual, expected) === 0) return;
  expect(actual.length).toBe(expected.length);
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  expect.fail(`differs first at offset ${at}: ${actual[at]}, expected ${expected[at]}`);
}

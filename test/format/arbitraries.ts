// Random values of the format for property tests, and bytes made wrong in every place.

import fc from 'fast-check';
import { isVitrineError } from '../../src/base/error.ts';
import type { Manifest } from '../../src/format/index.ts';
import { seedOfRun } from '../support/seed.ts';

/** Options for `fc.assert`: a failure prints the seed, and SEED=… repeats it. */
export const RUN = { seed: seedOfRun() } as const;

const uint = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const digest = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Uint8Array.from(bytes))
  .filter((bytes) => bytes.some((byte) => byte !== 0));
const digestOrZero = fc.oneof(digest, fc.constant(new Uint8Array(32)));

/** Well-formed text of at most that many UTF-8 bytes, a byte order mark in front now and then. */
const text = (minBytes: number, maxBytes: number) =>
  fc
    .tuple(fc.boolean(), fc.string({ unit: 'grapheme', maxLength: 20 }))
    .map(([marked, rest]) => (marked ? `\ufeff${rest}` : rest))
    .filter((one) => {
      const { length } = new TextEncoder().encode(one);
      return length >= minBytes && length <= maxBytes;
    });

const number = fc
  .double({ noNaN: true, noDefaultInfinity: true })
  .map((value) => (Object.is(value, -0) ? 0 : value));

const table = fc
  .record({
    sizeBytes: fc.nat({ max: 2 ** 48 }),
    pageBytes: fc.integer({ min: 8, max: 16 }).map((exponent) => 2 ** exponent),
    root: digestOrZero,
  })
  .map((one) => (one.sizeBytes === 0 ? { ...one, root: new Uint8Array(32) } : one));

const region = fc
  .record({
    name: text(1, 255),
    kind: fc.constantFrom('ram' as const, 'device' as const, 'disk' as const, 'other' as const),
    guestAddress: fc.option(fc.nat({ max: 2 ** 52 })),
    table,
  })
  .map(({ table: shape, ...rest }) => ({ ...rest, ...shape }));

const device = fc
  .record({ name: text(1, 255), version: fc.nat({ max: 2 ** 32 - 1 }), table })
  .map(({ table: shape, ...rest }) => ({ ...rest, ...shape }));

export const manifests: fc.Arbitrary<Manifest> = fc.record({
  machine: fc.record({
    kind: text(1, 255),
    version: text(0, 255),
    architecture: text(0, 255),
    config: fc.dictionary(text(1, 255), fc.oneof(text(0, 4096), number, fc.boolean()), {
      noNullPrototype: true,
    }),
  }),
  name: text(0, 255),
  label: text(0, 1024),
  createdAtMs: uint,
  parent: fc.option(digest),
  regions: fc.uniqueArray(region, { selector: (one) => one.name, maxLength: 5 }),
  devices: fc.uniqueArray(device, { selector: (one) => one.name, maxLength: 5 }),
  statistics: fc.record({
    pagesScanned: uint,
    pagesChanged: uint,
    objectsNew: uint,
    bytesWritten: uint,
    pauseMs: number.map(Math.abs),
  }),
});

/** The code of the VitrineError that a call throws; `none` when it returns, `other` for any other error. */
export function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return isVitrineError(error) ? error.code : `other: ${String(error)}`;
  }
  return 'none';
}

/** Every proper prefix of `bytes`. */
export function* truncationsOf(bytes: Uint8Array<ArrayBuffer>): Generator<Uint8Array<ArrayBuffer>> {
  for (let length = 0; length < bytes.length; length++) yield bytes.slice(0, length);
}

/** `bytes` with one bit flipped, for each bit from byte `start` to byte `end`. */
export function* flipsOf(
  bytes: Uint8Array<ArrayBuffer>,
  start = 0,
  end = bytes.length,
): Generator<Uint8Array<ArrayBuffer>> {
  for (let bit = 8 * start; bit < 8 * end; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    yield flipped;
  }
}

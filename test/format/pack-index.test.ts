// Indexes that no writer of ours would write, with a checksum that is right: each rule is broken alone.

import { describe, expect, test } from 'vitest';
import { crc32c } from '../../src/format/crc32c.ts';
import { decodeIndex, encodeIndex, type ObjectEntry } from '../../src/format/index.ts';
import { Random } from '../../src/testing/random.ts';
import { Refused } from '../reader/cursor.ts';
import { readIndex } from '../reader/read-pack.ts';
import { seedOfRun } from '../support/seed.ts';
import { codeOf, flipsOf, truncationsOf } from './arbitraries.ts';

type Bytes = Uint8Array<ArrayBuffer>;

const name = (first: number): Bytes => new Uint8Array(32).fill(7).fill(first, 0, 1);

/** One frame of 768 bytes: a page, a node and a delta; and a fill. In the order of their digests 1 to 4. */
const OBJECTS: readonly ObjectEntry[] = [
  { digest: name(1), kind: 'page', lengthBytes: 256, transform: 'plain', frame: 0, offsetBytes: 0 },
  { digest: name(2), kind: 'node', lengthBytes: 256, transform: 'plain', frame: 0, offsetBytes: 256 },
  {
    digest: name(3),
    kind: 'page',
    lengthBytes: 256,
    transform: 'xor',
    frame: 0,
    offsetBytes: 512,
    base: name(9),
    depth: 8,
  },
  {
    digest: name(4),
    kind: 'page',
    lengthBytes: 512,
    transform: 'fill',
    pattern: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  },
];
const FRAMES = [{ codec: 2, lengthBytes: 700, plainLengthBytes: 768, checksum: 1 }];
const GOOD = encodeIndex(FRAMES, OBJECTS);

const FRAME_AT = 36;
const DIGESTS_AT = FRAME_AT + 16;
const PLACES_AT = DIGESTS_AT + 4 * 32;
const PATTERN_AT = PLACES_AT + 4 * 8;
const BASE_AT = PATTERN_AT + 8;

function reseal(bytes: Bytes): Bytes {
  const view = new DataView(bytes.buffer);
  view.setUint32(16, bytes.length, true);
  view.setUint32(bytes.length - 4, crc32c(bytes, 0, bytes.length - 4), true);
  return bytes;
}

/** The good index with bytes replaced from `at`. */
function patched(at: number, ...bytes: readonly number[]): Bytes {
  const copy = GOOD.slice();
  copy.set(bytes, at);
  return reseal(copy);
}

const u32 = (value: number): number[] => [
  value & 255,
  (value >>> 8) & 255,
  (value >>> 16) & 255,
  value >>> 24,
];

test('objects come in the order of their digests, however much these have in common', () => {
  const random = new Random(seedOfRun());
  const objects: ObjectEntry[] = Array.from({ length: 500 }, () => {
    const digest = random.bytes(32);
    // Of some the first bits are the same, or all but the last ones.
    digest.fill(7, 0, random.pick([0, 3, 4, 5, 28]));
    return {
      kind: 'page',
      lengthBytes: 4096,
      transform: 'fill',
      digest,
      pattern: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    };
  });
  const { digests } = decodeIndex(encodeIndex([], objects));
  const ordered = objects.map(({ digest }) => Buffer.from(digest).toString('hex')).sort();
  expect(Buffer.from(digests).toString('hex')).toBe(ordered.join(''));
});

test('the good one is read as it was written', () => {
  const index = decodeIndex(GOOD);
  expect(OBJECTS.map((_, i) => index.entry(i))).toEqual(OBJECTS);
  expect(FRAMES.map((_, i) => index.frame(i))).toEqual(FRAMES);
  expect(OBJECTS.map((one) => index.find(one.digest))).toEqual([0, 1, 2, 3]);
  expect([0, 5, 255].map((first) => index.find(name(first)))).toEqual([-1, -1, -1]);
  expect(encodeIndex(FRAMES, [...OBJECTS].reverse())).toEqual(GOOD);
  expect(readIndex(GOOD).objects.length).toBe(4);
  expect(GOOD.length).toBe(BASE_AT + 32 + 4);
});

const BROKEN: Readonly<Record<string, readonly [Bytes, code: string]>> = {
  'a frame count past the bytes': [patched(20, ...u32(2)), 'format-truncated'],
  'a frame count that is huge': [patched(20, ...u32(2 ** 32 - 1)), 'format-limit'],
  'an object count that is huge': [patched(24, ...u32(2 ** 32 - 1)), 'format-truncated'],
  'fewer objects than bytes': [patched(24, ...u32(3)), 'format-range'],
  'a fill count that is huge': [patched(28, ...u32(2 ** 32 - 1)), 'format-truncated'],
  'an xor count that is huge': [patched(32, ...u32(2 ** 32 - 1)), 'format-truncated'],
  'a frame of no bytes': [patched(FRAME_AT, ...u32(0)), 'format-range'],
  'a frame longer than its plain bytes': [patched(FRAME_AT, ...u32(769)), 'format-range'],
  'a plain length of no bytes': [patched(FRAME_AT + 4, ...u32(0)), 'format-range'],
  'a plain length over the limit': [patched(FRAME_AT + 4, ...u32(65_537)), 'format-limit'],
  'a plain length that payloads do not fill': [patched(FRAME_AT + 4, ...u32(1024)), 'format-range'],
  'codec 0': [patched(FRAME_AT + 12, 0), 'format-tag'],
  'bytes beside the codec': [patched(FRAME_AT + 13, 1), 'format-range'],
  'digests out of order': [patched(DIGESTS_AT, 5), 'format-range'],
  'a digest twice': [patched(DIGESTS_AT, 2), 'format-range'],
  'a digest of zeros': [patched(DIGESTS_AT, ...new Uint8Array(32)), 'format-range'],
  'kind 0': [patched(PLACES_AT, 0x04), 'format-tag'],
  'kind 3': [patched(PLACES_AT, 0x07), 'format-tag'],
  'transform 0': [patched(PLACES_AT, 0x01), 'format-tag'],
  'a depth without a base': [patched(PLACES_AT, 0x15), 'format-range'],
  'a frame that is not there': [patched(PLACES_AT + 1, 1), 'format-range'],
  'a payload past its frame': [patched(PLACES_AT + 4, 1, 2), 'format-range'],
  'a page of 255 bytes': [patched(PLACES_AT + 6, 254, 0), 'format-range'],
  'a page of 384 bytes': [patched(PLACES_AT + 6, 127, 1), 'format-range'],
  'a node of 255 bytes': [patched(PLACES_AT + 8 + 6, 254, 0), 'format-range'],
  'a node of 513 entries': [patched(PLACES_AT + 8 + 6, 0x1f, 0x40), 'format-range'],
  'a delta of depth 0': [patched(PLACES_AT + 16, 0x0d), 'format-limit'],
  'a delta of depth 9': [patched(PLACES_AT + 16, 0x9d), 'format-limit'],
  'a delta on itself': [patched(BASE_AT, 3), 'format-range'],
  'a delta on zeros': [patched(BASE_AT, ...new Uint8Array(32)), 'format-range'],
  'a fill with a place': [patched(PLACES_AT + 24 + 4, 1), 'format-range'],
  'a fill of zeros': [patched(PATTERN_AT, ...new Uint8Array(8)), 'format-range'],
  'more fills than patterns': [patched(PLACES_AT, 0x09), 'format-range'],
  'more deltas than bases': [patched(PLACES_AT, 0x1d), 'format-range'],
  'fewer deltas than bases': [patched(PLACES_AT + 16, 0x05), 'format-range'],
};

describe.each(Object.entries(BROKEN))('%s', (_, [bytes, code]) => {
  test('is refused', () => expect(codeOf(() => decodeIndex(bytes))).toBe(code));
  test('is refused by another reader', () => expect(() => readIndex(bytes)).toThrow(Refused));
});

test('every flipped bit and every truncation is refused', () => {
  for (const hurt of flipsOf(GOOD)) expect(codeOf(() => decodeIndex(hurt))).toMatch(/^format-/);
  for (const cut of truncationsOf(GOOD)) expect(codeOf(() => decodeIndex(cut))).toBe('format-truncated');
});

test('every flipped bit, with the checksum made right, gives an index or a format error', () => {
  for (const hurt of flipsOf(GOOD, 0, GOOD.length - 4)) {
    const code = codeOf(() => decodeIndex(reseal(hurt)));
    expect(code).toMatch(/^(none|format-.*)$/);
    if (code !== 'none') continue;
    const index = decodeIndex(hurt);
    const frames = Array.from({ length: index.frameCount }, (_, i) => index.frame(i));
    const objects = Array.from({ length: index.count }, (_, i) => index.entry(i));
    expect(encodeIndex(frames, objects)).toEqual(hurt);
  }
});

// Manifests: what is written is read again, by us and by the independent reader; what is not one is refused with
// a format error, whatever it is.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteWriter } from '../../src/base/byte-writer.ts';
import { crc32c } from '../../src/format/crc32c.ts';
import { decodeManifest, encodeManifest, type Manifest, ZERO_DIGEST } from '../../src/format/index.ts';
import { MANIFESTS } from '../fixtures/format-v1/samples.ts';
import { readManifest } from '../reader/read-manifest.ts';
import { codeOf, flipsOf, manifests, RUN, truncationsOf } from './arbitraries.ts';

const full = MANIFESTS['manifest-full']!;
const table = { sizeBytes: 1, pageBytes: 256, root: ZERO_DIGEST };

/** Bytes with a checksum that is right again. */
function reseal(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const view = new DataView(bytes.buffer);
  view.setUint32(16, bytes.length, true);
  view.setUint32(bytes.length - 4, crc32c(bytes, 0, bytes.length - 4), true);
  return bytes;
}

/** The full sample with some bytes replaced by others. */
function spliced(at: number, removed: number, inserted: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = [...encodeManifest(full)];
  bytes.splice(at, removed, ...inserted);
  return reseal(Uint8Array.from(bytes));
}

describe('round trip', () => {
  test('any manifest is read as it was written, and its encoding is the only one', () => {
    fc.assert(
      fc.property(manifests, (manifest) => {
        const bytes = encodeManifest(manifest);
        expect(decodeManifest(bytes)).toEqual(manifest);
        expect(encodeManifest(decodeManifest(bytes))).toEqual(bytes);
        expect(readManifest(bytes).name).toBe(manifest.name);
      }),
      { ...RUN, numRuns: 150 },
    );
  });

  test('the order of configuration keys makes no difference, and follows UTF-8, not UTF-16', () => {
    const config = { '\u{1f9ca}': 1, '\uffee': 2, a: 3, 10: 4, 9: 5, __proto: 6 };
    const reversed = Object.fromEntries(Object.entries(config).reverse());
    const bytes = encodeManifest({ ...full, machine: { ...full.machine, config } });
    expect(encodeManifest({ ...full, machine: { ...full.machine, config: reversed } })).toEqual(bytes);
    expect(readManifest(bytes).config.map(([key]) => key)).toEqual([
      '10',
      '9',
      '__proto',
      'a',
      '\uffee',
      '\u{1f9ca}',
    ]);
  });

  test('a key that JavaScript gives a meaning is a key like any other', () => {
    const config = JSON.parse('{"__proto__": 1, "constructor": true}') as Manifest['machine']['config'];
    const read = decodeManifest(encodeManifest({ ...full, machine: { ...full.machine, config } }));
    expect(Object.entries(read.machine.config)).toEqual([
      ['__proto__', 1],
      ['constructor', true],
    ]);
    expect(Object.getPrototypeOf(read.machine.config)).toBe(Object.prototype);
  });

  test('minus zero is written as zero', () => {
    const config = { value: -0 };
    const read = decodeManifest(encodeManifest({ ...full, machine: { ...full.machine, config } }));
    expect(read.machine.config).toEqual({ value: 0 });
  });
});

describe('damage', () => {
  const bytes = encodeManifest(full);

  test('every truncation is refused', () => {
    for (const cut of truncationsOf(bytes))
      expect(codeOf(() => decodeManifest(cut))).toBe('format-truncated');
  });

  test('every flipped bit is refused', () => {
    const codes = new Set<string>();
    for (const flipped of flipsOf(bytes)) codes.add(codeOf(() => decodeManifest(flipped)));
    expect([...codes].sort()).toEqual([
      'format-checksum',
      'format-limit',
      'format-magic',
      'format-range',
      'format-truncated',
      'format-version',
    ]);
  });

  test('a byte more is refused', () => {
    expect(codeOf(() => decodeManifest(Uint8Array.of(...bytes, 0)))).toBe('format-range');
  });

  test('a byte more before the checksum is refused', () => {
    expect(codeOf(() => decodeManifest(spliced(bytes.length - 4, 0, [0])))).toBe('format-range');
  });

  test('any byte changed, with the checksum made right, gives a manifest or a format error', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat({ max: 255 }), fc.nat({ max: 3 }), (at, byte, removed) => {
        const hurt = spliced(20 + (at % (bytes.length - 24)), removed, [byte]);
        const code = codeOf(() => decodeManifest(hurt));
        expect(code).toMatch(/^(none|format-(range|tag|limit|truncated))$/);
        // What is let through is written back as it was: there is no second encoding.
        if (code === 'none') expect(encodeManifest(decodeManifest(hurt))).toEqual(hurt);
      }),
      { ...RUN, numRuns: 1500 },
    );
  });

  test('random bytes give a format error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (random) => {
        expect(codeOf(() => decodeManifest(Uint8Array.from(random)))).toMatch(/^format-/);
      }),
      { ...RUN, numRuns: 300 },
    );
  });
});

describe('hostile fields', () => {
  const TEXTS_AT = 20 + 32 + 8 + 40;

  test('a version or feature of the future is told from damage', () => {
    const versioned = reseal(encodeManifest(full));
    versioned[8] = 2;
    expect(codeOf(() => decodeManifest(reseal(versioned)))).toBe('format-version');
    const featured = encodeManifest(full);
    featured[15] = 0x80;
    expect(codeOf(() => decodeManifest(reseal(featured)))).toBe('format-version');
  });

  test('integers past 2^53 - 1 are refused', () => {
    expect(codeOf(() => decodeManifest(spliced(52, 8, [0, 0, 0, 0, 0, 0, 0x20, 0])))).toBe('format-range');
    expect(codeOf(() => decodeManifest(spliced(52, 8, [255, 255, 255, 255, 255, 255, 0x1f, 0])))).toBe(
      'none',
    );
  });

  test('numbers that are none are refused', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -0, -1]) {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setFloat64(0, value, true);
      expect(codeOf(() => decodeManifest(spliced(92, 8, [...bytes])))).toBe('format-range');
    }
  });

  test('text that is not strict UTF-8 is refused', () => {
    for (const text of [[0xc0, 0x80], [0xed, 0xa0, 0x80], [0xff], [0xe2, 0x82], [0xf4, 0x90, 0x80, 0x80]]) {
      const hurt = spliced(TEXTS_AT, 2 + 'shell'.length, [text.length, 0, ...text]);
      expect(codeOf(() => decodeManifest(hurt))).toBe('format-range');
    }
  });

  test('a length of text past the end is truncation, whatever it claims', () => {
    expect(codeOf(() => decodeManifest(spliced(TEXTS_AT, 2, [255, 255])))).toBe('format-truncated');
  });

  test('what has two encodings is refused in the other one', () => {
    // From a manifest with one region and one configuration entry, whose places are known.
    const one: Manifest = {
      ...full,
      name: '',
      label: '',
      machine: { kind: 'k', version: '', architecture: '', config: { a: true, b: false } },
      regions: [{ name: 'r', kind: 'ram', guestAddress: null, ...table }],
      devices: [],
    };
    const bytes = encodeManifest(one);
    const configAt = TEXTS_AT + 2 + 2 + 3 + 2 + 2;
    const regionAt = configAt + 2 + 2 * 5 + 2;
    const refused = (at: number, value: number): string => {
      const hurt = bytes.slice();
      hurt[at] = value;
      return codeOf(() => decodeManifest(reseal(hurt)));
    };
    expect([configAt, regionAt].map((at) => bytes[at])).toEqual([2, 1]);
    expect(refused(configAt + 2 + 2, 0x63)).toBe('format-range'); // Keys c, b: out of order.
    expect(refused(configAt + 2 + 2, 0x62)).toBe('format-range'); // Keys b, b: twice the same.
    expect(refused(configAt + 2 + 3, 4)).toBe('format-tag');
    expect(refused(configAt + 2 + 4, 2)).toBe('format-range'); // A truth value of 2.
    expect(refused(regionAt + 3, 0)).toBe('format-tag');
    expect(refused(regionAt + 3, 5)).toBe('format-tag');
    expect(refused(regionAt + 4, 2)).toBe('format-range');
    expect(refused(regionAt + 5, 1)).toBe('format-range'); // An address, though it has none.
    expect(refused(regionAt + 13, 0)).toBe('none'); // No bytes, zero root: allowed.
    expect(refused(regionAt + 13 + 6, 2)).toBe('format-range'); // 2^49 bytes.
    expect(refused(regionAt + 21, 7)).toBe('format-range');
    expect(refused(regionAt + 21, 17)).toBe('format-range');
    expect(refused(regionAt + 21, 255)).toBe('format-range');
  });

  test('counts are checked against limits and bytes before anything is made', () => {
    const writer = new ByteWriter();
    writer.bytes(encodeManifest(MANIFESTS['manifest-least']!));
    const bytes = writer.finish();
    const view = new DataView(bytes.buffer);
    view.setUint16(bytes.length - 8, 257, true);
    expect(codeOf(() => decodeManifest(reseal(bytes)))).toBe('format-limit');
    view.setUint16(bytes.length - 8, 256, true);
    expect(codeOf(() => decodeManifest(reseal(bytes)))).toBe('format-truncated');
  });

  test('a length over the limit is refused before the bytes are looked at', () => {
    const bytes = encodeManifest(full);
    new DataView(bytes.buffer).setUint32(16, 2 ** 32 - 1, true);
    expect(codeOf(() => decodeManifest(bytes))).toBe('format-limit');
  });
});

describe('what cannot be written', () => {
  const region = { name: 'r', kind: 'ram' as const, guestAddress: 0, ...table };
  const cases: Readonly<Record<string, Partial<Manifest>>> = {
    'a lone surrogate': { label: '\ud83e' },
    'a label that is too long': { label: 'é'.repeat(513) },
    'a fraction of a millisecond': { createdAtMs: 0.5 },
    'a time before 1970': { createdAtMs: -1 },
    'a parent of zeros': { parent: new Uint8Array(32) },
    'a short parent': { parent: new Uint8Array(31).fill(1) },
    'a number that is none': { machine: { ...full.machine, config: { a: Number.NaN } } },
    'an empty key': { machine: { ...full.machine, config: { '': 1 } } },
    'a machine of no kind': { machine: { ...full.machine, kind: '' } },
    'two regions of one name': { regions: [region, region] },
    'a region without a name': { regions: [{ ...region, name: '' }] },
    'too many regions': { regions: Array.from({ length: 257 }, (_, i) => ({ ...region, name: `r${i}` })) },
    'an odd page size': { regions: [{ ...region, pageBytes: 300 }] },
    'a page size with a fraction': { regions: [{ ...region, pageBytes: 256.5 }] },
    'a region past 2^53': { regions: [{ ...region, guestAddress: Number.MAX_SAFE_INTEGER }] },
    'a root of no pages': { regions: [{ ...region, sizeBytes: 0, root: new Uint8Array(32).fill(1) }] },
    'a version past 32 bits': { devices: [{ name: 'd', version: 2 ** 32, ...table }] },
    'a pause below zero': { statistics: { ...full.statistics, pauseMs: -1 } },
    'a count that is none': { statistics: { ...full.statistics, pagesChanged: Number.NaN } },
  };

  test.each(Object.entries(cases))('%s', (_, change) => {
    expect(codeOf(() => encodeManifest({ ...full, ...change }))).toBe('argument-invalid');
  });
});

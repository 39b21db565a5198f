// Spans: which of them lie in their region, and which bytes stand at a guest address.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Region } from '../../src/memory/region.ts';
import { regionOf, spansAtAddress } from '../../src/memory/span.ts';
import { seedOfRun } from '../support/seed.ts';

/** Two that touch, a hole, one past 4 GiB, one without an address, an empty one. */
const REGIONS: readonly Region[] = [
  { id: 0, name: 'low', kind: 'ram', guestAddress: 0x1000, sizeBytes: 100, pageBytes: 256 },
  { id: 1, name: 'next', kind: 'device', guestAddress: 0x1064, sizeBytes: 50, pageBytes: 256 },
  { id: 2, name: 'high', kind: 'ram', guestAddress: 2 ** 33, sizeBytes: 2 ** 34, pageBytes: 4096 },
  { id: 3, name: 'disk', kind: 'disk', guestAddress: null, sizeBytes: 4096, pageBytes: 4096 },
  { id: 4, name: 'none', kind: 'other', guestAddress: 0x1000, sizeBytes: 0, pageBytes: 256 },
];
const outOfRange = expect.objectContaining({ code: 'span-out-of-range' });

describe('regionOf', () => {
  it('gives the region of a span that lies in it, up to its last byte', () => {
    const spans: [number, number, number][] = [
      [0, 0, 100],
      [0, 99, 1],
      [0, 100, 0],
      [2, 2 ** 34 - 1, 1],
      [4, 0, 0],
    ];
    for (const [region, offsetBytes, lengthBytes] of spans) {
      expect(regionOf(REGIONS, { region, offsetBytes, lengthBytes }).id).toBe(region);
    }
  });

  it('refuses spans that reach out, no counts, and regions that are not there', () => {
    const spans: [number, number, number][] = [
      [0, 0, 101],
      [0, 100, 1],
      [0, -1, 1],
      [0, 1, -1],
      [0, 0.5, 1],
      [0, 0, Number.NaN],
      [2, 2 ** 34, 1],
      [2, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
      [4, 0, 1],
      [5, 0, 0],
      [-1, 0, 0],
      [0.5, 0, 0],
    ];
    for (const [region, offsetBytes, lengthBytes] of spans) {
      const span = { region, offsetBytes, lengthBytes };
      expect(() => regionOf(REGIONS, span), JSON.stringify(span)).toThrow(outOfRange);
    }
  });
});

describe('spansAtAddress', () => {
  it('names every byte once, in order: against one address at a time', () => {
    const naive = (address: number): [number, number] | undefined => {
      const found = REGIONS.find(
        ({ guestAddress: at, sizeBytes }) => at !== null && address >= at && address < at + sizeBytes,
      );
      return found === undefined ? undefined : [found.id, address - found.guestAddress!];
    };
    const starts = fc.oneof(
      fc.integer({ min: 0x0ff0, max: 0x10a0 }),
      fc.integer({ min: 2 ** 33 - 20, max: 2 ** 33 + 20 }),
    );
    fc.assert(
      fc.property(starts, fc.nat(160), (address, lengthBytes) => {
        const expected = Array.from({ length: lengthBytes }, (_, i) => naive(address + i));
        if (expected.includes(undefined)) {
          expect(() => spansAtAddress(REGIONS, address, lengthBytes)).toThrow(outOfRange);
          return;
        }
        const spans = spansAtAddress(REGIONS, address, lengthBytes);
        const bytes = spans.flatMap(({ region, offsetBytes, lengthBytes: length }) =>
          Array.from({ length }, (_, i) => [region, offsetBytes + i]),
        );
        expect(bytes).toEqual(expected);
      }),
      { seed: seedOfRun(), numRuns: 400 },
    );
  });

  it('says which byte is missing', () => {
    expect(() => spansAtAddress(REGIONS, 0x1000, 151)).toThrow(
      expect.objectContaining({ data: { address: 0x1000, lengthBytes: 151, firstMissing: 0x1096 } }),
    );
  });

  it('crosses 4 GiB and more without losing a bit', () => {
    const spans = spansAtAddress(REGIONS, 2 ** 34 - 1, 2 ** 33);
    expect(spans).toEqual([{ region: 2, offsetBytes: 2 ** 33 - 1, lengthBytes: 2 ** 33 }]);
  });
});

// Regions: which lists of them a machine can have, and how many pages there are.

import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { checkRegions, isPageBytes, pageCountOf, type Region } from '../../src/memory/region.ts';

function region(fields: Partial<Region> = {}): Region {
  return { id: 0, name: 'ram', kind: 'ram', guestAddress: 0, sizeBytes: 8192, pageBytes: 4096, ...fields };
}

describe('pageCountOf', () => {
  it('counts the last page when only a part of it is used', () => {
    const counts = [0, 1, 4095, 4096, 4097].map((sizeBytes) => pageCountOf({ sizeBytes, pageBytes: 4096 }));
    expect(counts).toEqual([0, 1, 1, 1, 2]);
    expect(pageCountOf({ sizeBytes: 2 ** 48, pageBytes: 256 })).toBe(2 ** 40);
  });
});

describe('isPageBytes', () => {
  it('takes the powers of two from 256 to 65,536', () => {
    const taken = Array.from({ length: 65_600 }, (_, value) => value).filter(isPageBytes);
    expect(taken).toEqual([256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536]);
    expect([-4096, 4096.5, Number.NaN, 131_072].some(isPageBytes)).toBe(false);
  });
});

describe('checkRegions', () => {
  it('takes what machines have: none, empty ones, 64-bit addresses, the largest', () => {
    checkRegions([]);
    checkRegions([
      region({ sizeBytes: 0, guestAddress: null }),
      region({ id: 1, name: 'high', guestAddress: 2 ** 40 + 4096, sizeBytes: LIMITS.maxTableBytes }),
    ]);
  });

  it('takes regions side by side, and what peeks do not look at wherever it is', () => {
    checkRegions([
      region({ sizeBytes: 8192, guestAddress: 4096 }),
      region({ id: 1, name: 'video', kind: 'device', sizeBytes: 4096, guestAddress: 0 }),
      region({ id: 2, name: 'high', sizeBytes: 1, guestAddress: 12_288 }),
      region({ id: 3, name: 'rom', kind: 'other', sizeBytes: 65_536, guestAddress: 0 }),
      region({ id: 4, name: 'banks', sizeBytes: 65_536, guestAddress: null }),
      region({ id: 5, name: 'none', sizeBytes: 0, guestAddress: 5000 }),
    ]);
  });

  it.each(['ram', 'device'] as const)('names two that overlap, one of them %s', (kind) => {
    const ram = region({ sizeBytes: 8192, guestAddress: 4096 });
    for (const guestAddress of [4095, 4096, 8192, 12_287]) {
      const other = region({ id: 1, name: 'video', kind, sizeBytes: 2, guestAddress });
      const regions = guestAddress < 4096 ? ['video', ram.name] : [ram.name, 'video'];
      expect(() => checkRegions([ram, other]), String(guestAddress)).toThrow(
        expect.objectContaining({ code: 'argument-invalid', data: expect.objectContaining({ regions }) }),
      );
    }
  });

  it('names the field that no machine can have', () => {
    const many = Array.from({ length: LIMITS.maxRegions + 1 }, (_, id) =>
      region({ id, name: `r${id}`, guestAddress: null }),
    );
    checkRegions(many.slice(1).map((one, id) => ({ ...one, id })));
    const refused: [string, readonly Region[]][] = [
      ['regions.length', many],
      ['region.id', [region({ id: 1 })]],
      ['region.name', [region({ name: '' })]],
      ['region.name', [region(), region({ id: 1 })]],
      ['region.pageBytes', [region({ pageBytes: 128 })]],
      ['region.pageBytes', [region({ pageBytes: 131_072 })]],
      ['region.pageBytes', [region({ pageBytes: 4095 })]],
      ['region.sizeBytes', [region({ sizeBytes: -1 })]],
      ['region.sizeBytes', [region({ sizeBytes: 0.5 })]],
      ['region.sizeBytes', [region({ sizeBytes: LIMITS.maxTableBytes + 1 })]],
      ['region.guestAddress', [region({ guestAddress: -4096 })]],
      ['region.guestAddress', [region({ guestAddress: 2 ** 53 })]],
    ];
    for (const [name, regions] of refused) {
      expect(() => checkRegions(regions), name).toThrow(
        expect.objectContaining({ code: 'argument-invalid', data: expect.objectContaining({ name }) }),
      );
    }
  });
});

// Numbers and names as the page shows and reads them.

import { expect, it } from 'vitest';
import { catalogEntryOf, forkNameOf } from '../../src/app/guests/catalog.ts';
import { formatBytes, formatCount, formatMs, formatSpan, parseAddress } from '../../src/app/quantity.ts';

it('sizes, durations and counts read as people write them', () => {
  expect([0, 1023, 1024, 1536, 128 * 2 ** 20, 2 ** 40].map(formatBytes)).toEqual([
    '0 B',
    '1,023 B',
    '1 KiB',
    '1.5 KiB',
    '128 MiB',
    '1 TiB',
  ]);
  expect([0.04, 9.96, 12.3, 1500].map(formatMs)).toEqual(['0.0 ms', '10.0 ms', '12 ms', '1.5 s']);
  expect([999, 61_000, 7_500_000].map(formatSpan)).toEqual(['0 s', '1 min 1 s', '2 h 5 min']);
  expect([formatCount(1, 'page'), formatCount(4096, 'page')]).toEqual(['1 page', '4,096 pages']);
});

it('addresses are hexadecimal, with or without a prefix', () => {
  expect(['1000', '0x1000', ' 0X10_0000 ', 'ff'].map(parseAddress)).toEqual([
    0x1000, 0x1000, 0x10_0000, 0xff,
  ]);
  expect(['', '0x', 'x', '-1', '1.5', '12345678901234'].map(parseAddress)).toEqual(Array(6).fill(undefined));
});

it('a fork is of the guest that its machine is, and has a name of its own', () => {
  expect(catalogEntryOf('pulse-fork-12')?.name).toBe('pulse');
  expect(catalogEntryOf('toaster')).toBeUndefined();
  expect(forkNameOf('pulse', new Set(['pulse', 'pulse-fork-1']))).toBe('pulse-fork-2');
  expect(forkNameOf('pulse-fork-1', new Set(['pulse-fork-1']))).toBe('pulse-fork-2');
});

// Numbers and names as the page shows and reads them.

import { expect, it } from 'vitest';
import { catalogEntryOf, forkNameOf } from '../../src/app/guests/catalog.ts';
import {
  formatBytes,
  formatCount,
  formatMs,
  formatSpan,
  formatTime,
  parseAddress,
} from '../../src/app/quantity.ts';

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
  expect([-1234.5, 999, 1000, 1234567].map((value) => formatCount(value, 'page'))).toEqual([
    '-1,234.5 pages',
    '999 pages',
    '1,000 pages',
    '1,234,567 pages',
  ]);
});

it('a time of day carries its date when that is not today', () => {
  expect(formatTime(new Date(2001, 1, 3, 4, 5, 6).getTime())).toBe('2001-02-03 04:05:06');
  expect(formatTime(new Date().setHours(7, 8, 9))).toBe('07:08:09');
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

// Which points of a recorded past go first, and what two of them have in common.

import { describe, expect, it } from 'vitest';
import { chooseToDrop, commonShare, pastBytes } from '../../src/bridge/recording-thinning.ts';

describe('thinning', () => {
  const points = (...times: number[]) =>
    times.map((atMs, index) => ({ snapshot: String(index), parent: null, atMs, bytes: 1, bookmark: null }));

  it('makes old history sparser, then shorter, and spares bookmarks and the base', () => {
    const dense = points(0, 10, 20, 30, 40, 50, 60, 70, 80, 90);
    expect(chooseToDrop(dense, null, 100)?.snapshot).toBe('1');
    expect(chooseToDrop(points(0, 50, 90), null, 100)?.snapshot).toBe('0');
    const marked = points(0, 50, 90).map((one) => ({ ...one, bookmark: one.atMs === 0 ? 'first' : null }));
    expect(chooseToDrop(marked, null, 100)?.snapshot).toBe('1');
    expect(chooseToDrop(marked, '1', 100)).toBeUndefined();
    expect(chooseToDrop(points(0), null, 100)).toBeUndefined();
    expect(pastBytes(dense)).toBe(9);
  });

  it('knows what two points both wrote', () => {
    const runs = (...list: [number, number][]) => ({
      regions: [
        {
          ...{ name: 'ram', pageBytes: 4096, pageCount: 10, pagesChanged: 0 },
          runs: list.map(([first, count]) => ({ first, count })),
        },
      ],
      devices: [],
    });
    expect(commonShare(runs([0, 4], [6, 2]), runs([2, 5]))).toBe(0.5);
    expect(commonShare(runs([0, 4]), runs([4, 6]))).toBe(0);
    expect(commonShare(null, runs([0, 5]))).toBe(0.5);
    expect(commonShare(runs(), runs([0, 5]))).toBe(1);
  });
});

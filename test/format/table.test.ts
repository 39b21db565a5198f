// The arithmetic of tables, held against trees that are built by hand.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  checkNode,
  entriesAt,
  levelCount,
  nodeCountAt,
  nodeIndexOf,
  slotOf,
  tablePageCount,
} from '../../src/format/index.ts';
import { codeOf, RUN } from './arbitraries.ts';

/** Entry counts of all nodes, level by level, by grouping pages by 512 until one group is left. */
function levelsOf(pageCount: number): number[][] {
  const levels: number[][] = [];
  for (let children = pageCount; ; ) {
    const nodes: number[] = [];
    for (let left = children; left > 0; left -= 512) nodes.push(Math.min(512, left));
    levels.push(nodes);
    if (nodes.length === 1) return levels;
    children = nodes.length;
  }
}

test('levels, nodes and entries are those of a tree built by hand', () => {
  const interesting = [1, 2, 511, 512, 513, 1024, 1025, 262_143, 262_144, 262_145, 300_000];
  fc.assert(
    fc.property(
      fc.oneof(fc.constantFrom(...interesting), fc.integer({ min: 1, max: 600_000 })),
      (pageCount) => {
        const levels = levelsOf(pageCount);
        expect(levelCount(pageCount)).toBe(levels.length);
        for (const [level, nodes] of levels.entries()) {
          expect(nodeCountAt(pageCount, level)).toBe(nodes.length);
          const last = nodes.length - 1;
          expect(entriesAt(pageCount, level, last)).toBe(nodes[last]);
          expect(entriesAt(pageCount, level, 0)).toBe(nodes[0]);
        }
      },
    ),
    { ...RUN, numRuns: 100 },
  );
});

test('the way to a page leads to it, up to the largest table', () => {
  const max = 2 ** 40;
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
      const pageCount = 1 + (a % max);
      const page = b % pageCount;
      let index = 0;
      for (let level = levelCount(pageCount) - 1; level >= 0; level--) {
        expect(nodeIndexOf(page, level)).toBe(index);
        const slot = slotOf(page, level);
        expect(slot).toBeLessThan(entriesAt(pageCount, level, index));
        index = index * 512 + slot;
      }
      expect(index).toBe(page);
    }),
    { ...RUN, numRuns: 500 },
  );
});

test('a table of nothing has no levels, one of a byte has one page', () => {
  expect(levelCount(0)).toBe(0);
  expect(tablePageCount({ sizeBytes: 1, pageBytes: 4096 })).toBe(1);
  expect(tablePageCount({ sizeBytes: 2 ** 48, pageBytes: 256 })).toBe(2 ** 40);
  expect(levelCount(2 ** 40)).toBe(5);
});

test('a node of another length, or of zeros, is refused', () => {
  const node = new Uint8Array(96).fill(1);
  checkNode(node, 3);
  expect(codeOf(() => checkNode(node, 4))).toBe('format-truncated');
  expect(codeOf(() => checkNode(node, 2))).toBe('format-range');
  expect(codeOf(() => checkNode(new Uint8Array(96), 3))).toBe('format-range');
});

// PageSet against a naive model: a Set of numbers. Any run of changes must leave both with the same pages, and
// bits past the last page must stay zero, since kernels and the format count on it.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PageSet } from '../../src/memory/page-set.ts';
import { seedOfRun } from '../support/seed.ts';

const RUN = { seed: seedOfRun() };

/** Around the edges of words, and some size beyond. */
const pageCounts = fc.oneof(fc.constantFrom(0, 1, 31, 32, 33, 63, 64, 65), fc.integer({ min: 1, max: 400 }));

/** A page count, and lists of pages below it. */
const setsOfOneRegion = pageCounts.chain((pageCount) => {
  const pages =
    pageCount === 0 ? fc.constant<number[]>([]) : fc.array(fc.nat(pageCount - 1), { maxLength: 120 });
  return fc.record({ pageCount: fc.constant(pageCount), a: pages, b: pages });
});

function sorted(pages: Iterable<number>): number[] {
  return [...new Set(pages)].sort((x, y) => x - y);
}

/** The bitmap of a model, a bit at a time. */
function wordsOf(pageCount: number, pages: readonly number[]): Uint32Array {
  const words = new Uint32Array(Math.ceil(pageCount / 32));
  for (const page of pages) words[Math.floor(page / 32)]! += 2 ** (page % 32);
  return words;
}

describe('PageSet', () => {
  it('is the set of its pages, in order, in the layout of the kernels', () => {
    fc.assert(
      fc.property(setsOfOneRegion, ({ pageCount, a }) => {
        const set = PageSet.from(pageCount, a);
        const model = sorted(a);
        expect([...set]).toEqual(model);
        expect(set.size).toBe(model.length);
        expect(set.isEmpty).toBe(model.length === 0);
        expect(set.words).toEqual(wordsOf(pageCount, model));
        for (let page = -1; page <= pageCount; page++) expect(set.has(page)).toBe(model.includes(page));
        expect([...new PageSet(pageCount, set.words.slice())]).toEqual(model);
      }),
      RUN,
    );
  });

  it('adds and removes pages, alone and as sets, like a model', () => {
    fc.assert(
      fc.property(setsOfOneRegion, ({ pageCount, a, b }) => {
        const [first, second] = [PageSet.from(pageCount, a), PageSet.from(pageCount, b)];
        const joined = first.clone();
        joined.addAll(second);
        expect([...joined]).toEqual(sorted([...a, ...b]));
        const without = first.clone();
        without.deleteAll(second);
        expect([...without]).toEqual(sorted(a.filter((page) => !b.includes(page))));
        const oneByOne = first.clone();
        for (const page of b) oneByOne.delete(page);
        expect(oneByOne.words).toEqual(without.words);
        joined.clear();
        expect(joined.isEmpty).toBe(true);
        expect([...first]).toEqual(sorted(a));
      }),
      RUN,
    );
  });

  it('gives runs that are maximal, or as long as allowed', () => {
    fc.assert(
      fc.property(setsOfOneRegion, fc.integer({ min: 1, max: 9 }), ({ pageCount, a }, maxCount) => {
        const set = PageSet.from(pageCount, a);
        const pagesOf = (runs: { first: number; count: number }[]) =>
          runs.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));
        const maximal = [...set.runs()];
        expect(pagesOf(maximal)).toEqual(sorted(a));
        for (const { first, count } of maximal) {
          expect([count > 0, set.has(first - 1), set.has(first + count)]).toEqual([true, false, false]);
        }
        const bounded = [...set.runs(maxCount)];
        expect(pagesOf(bounded)).toEqual(sorted(a));
        const fewest = maximal.reduce((sum, { count }) => sum + Math.ceil(count / maxCount), 0);
        expect(bounded.length).toBe(fewest);
        expect(bounded.every(({ count }) => count <= maxCount)).toBe(true);
      }),
      RUN,
    );
  });

  it('holds all pages and no bit more', () => {
    fc.assert(
      fc.property(pageCounts, (pageCount) => {
        const all = PageSet.all(pageCount);
        expect(all.size).toBe(pageCount);
        expect(all.words).toEqual(wordsOf(pageCount, [...all]));
        const empty = PageSet.all(pageCount);
        empty.deleteAll(all);
        expect(empty.isEmpty).toBe(true);
      }),
      RUN,
    );
  });

  it('takes pages of its own region alone', () => {
    const set = new PageSet(33);
    for (const page of [-1, 33, 63]) {
      expect(() => set.add(page)).toThrow('assertion failed');
      expect(() => set.delete(page)).toThrow('assertion failed');
    }
    expect(() => set.addAll(new PageSet(34))).toThrow('assertion failed');
    expect(() => set.deleteAll(new PageSet(32))).toThrow('assertion failed');
    expect(() => new PageSet(33, new Uint32Array(1))).toThrow('assertion failed');
  });
});

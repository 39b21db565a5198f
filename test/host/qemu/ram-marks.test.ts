// What a machine's marks are made of: what the kernel tells, and what we wrote ourselves. A kernel that says what we want stands in
// for one with soft-dirty bits; a real one is in `test/qemu/soft-dirty.test.ts`.

import { describe, expect, it } from 'vitest';
import type { DirtyTake } from '../../../src/guest/guest.ts';
import { partOf, SoftDirtyMarks } from '../../../src/host/qemu/ram-marks.ts';
import type { SoftDirtyTake } from '../../../src/host/qemu/soft-dirty.ts';
import { PageSet } from '../../../src/memory/page-set.ts';
import { Random } from '../../../src/testing/random.ts';

const PAGE_BYTES = 4096;
const RANGES = [
  { guestAddress: 0, offsetBytes: 0, sizeBytes: 70 * PAGE_BYTES },
  { guestAddress: 2 ** 32, offsetBytes: 70 * PAGE_BYTES, sizeBytes: 30 * PAGE_BYTES },
];

/** Marks over bits that say what is put into `next`. */
function marksOver(next: { take: SoftDirtyTake }): SoftDirtyMarks {
  return new SoftDirtyMarks({ take: () => next.take, close: () => {} }, RANGES);
}

const wrote = (...pages: number[]): SoftDirtyTake => ({ written: PageSet.from(100, pages) });

function pagesIn({ pages }: DirtyTake): (number[] | null)[] {
  return pages.map(
    (set) => set && Array.from({ length: set.pageCount }, (_, page) => page).filter((page) => set.has(page)),
  );
}

function commit(take: DirtyTake): (number[] | null)[] {
  take.commit();
  return pagesIn(take);
}

describe('marks by soft-dirty bits', () => {
  it('cannot tell at first, then tell by region what the kernel told and what we wrote', () => {
    const next = { take: wrote(1) };
    const marks = marksOver(next);
    expect(commit(marks.take())).toEqual([null, null]);
    next.take = wrote(3, 69, 70);
    marks.wrote(5 * PAGE_BYTES + 100, PAGE_BYTES);
    expect(commit(marks.take())).toEqual([[3, 5, 6, 69], [0]]);
    next.take = wrote();
    expect(commit(marks.take())).toEqual([[], []]);
  });

  it('tell again what was put back, also where nothing could be told', () => {
    const next = { take: wrote() };
    const marks = marksOver(next);
    marks.take().putBack();
    expect(pagesIn(marks.take())).toEqual([null, null]);
    next.take = wrote(7);
    marks.wrote(99 * PAGE_BYTES, 1);
    marks.take().putBack();
    next.take = wrote(8);
    expect(commit(marks.take())).toEqual([[7, 8], [29]]);
    next.take = { written: null, because: 'the system swaps pages out' };
    expect(marks.traits.trackingSource).not.toContain('swaps');
    marks.take().putBack();
    expect(marks.traits.trackingSource).toContain('swaps');
    next.take = wrote(9);
    expect(commit(marks.take())).toEqual([null, null]);
    expect(commit(marks.take())).toEqual([[9], []]);
    expect(marks.traits.trackingSource).not.toContain('swaps');
  });
});

it('a part of a set has the pages of that part alone, wherever it begins', () => {
  const random = new Random(11);
  const all = PageSet.from(
    300,
    Array.from({ length: 80 }, () => random.below(300)),
  );
  for (const [first, count] of [
    [0, 300],
    [0, 33],
    [64, 100],
    [96, 204],
    [5, 100],
    [70, 30],
  ] as const) {
    const part = partOf(all, first, count);
    for (let page = 0; page < count; page++) expect(part.has(page)).toBe(all.has(first + page));
    expect(part.size).toBe(
      PageSet.from(
        count,
        [...Array(count).keys()].filter((page) => all.has(first + page)),
      ).size,
    );
  }
});

// A page set for each region of a guest, in region order, and what a tracker answers with them.

import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';

export function emptySets(regions: readonly Region[]): PageSet[] {
  return regions.map((region) => new PageSet(pageCountOf(region)));
}

export function fullSets(regions: readonly Region[]): PageSet[] {
  return regions.map((region) => PageSet.all(pageCountOf(region)));
}

/** Sets as a captured instant tells them, how many pages they are of, and how many are in them. */
export function instantOf(captured: readonly PageSet[], lookedCount?: number) {
  const pagesScanned = lookedCount ?? captured.reduce((sum, { pageCount }) => sum + pageCount, 0);
  const count = captured.reduce((sum, { size }) => sum + size, 0);
  return { changed: captured.map(({ words }) => words), pagesScanned, count };
}

// Pages named by a caller of a tracker, checked before anything is done with them.

import { VitrineError } from '../base/error.ts';
import { pageCountOf, type Region } from '../memory/region.ts';

/** The region, once all these pages are inside it. Throws `span-out-of-range`. */
export function checkPages(regions: readonly Region[], region: number, pages: Uint32Array): Region {
  const found = regions[region];
  if (found === undefined) throw new VitrineError('span-out-of-range', { region });
  const pageCount = pageCountOf(found);
  for (const page of pages) {
    if (page >= pageCount) throw new VitrineError('span-out-of-range', { region, page, pageCount });
  }
  return found;
}

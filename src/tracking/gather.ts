// Pages gathered from the mirror for whoever encodes them, each with what it held at the last committed capture where that
// was kept. Copies: the guest runs on meanwhile, and the next scan overwrites the mirror.

import type { OwnedBytes } from '../base/bytes.ts';
import type { PageSet } from '../memory/page-set.ts';
import type { Mirror } from './mirror.ts';
import type { PreviousPages } from './previous-pages.ts';
import type { GatheredPages } from './tracker.ts';

/** Copies `pages` of a region out of the mirror, in the order asked for; those of `zeros` are zeros. */
export function gatherPages(
  mirror: Mirror,
  previousPages: PreviousPages,
  region: number,
  pages: Uint32Array,
  zeros: PageSet,
): GatheredPages {
  const { pageBytes } = mirror.regions[region]!;
  const bytes = new Uint8Array(pages.length * pageBytes);
  const previous: Uint8Array[] = [];
  const previousOf: number[] = [];
  for (const [index, page] of pages.entries()) {
    if (zeros.has(page)) continue;
    bytes.set(mirror.page(region, page), index * pageBytes);
    const old = previousPages.get(region, page, pageBytes);
    if (old === undefined) continue;
    previous.push(old);
    previousOf.push(index);
  }
  return { bytes, previous: concat(previous, pageBytes), previousOf: Uint32Array.from(previousOf) };
}

function concat(pages: readonly Uint8Array[], pageBytes: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pages.length * pageBytes);
  for (const [index, page] of pages.entries()) bytes.set(page, index * pageBytes);
  return bytes;
}

/** Pages of which nobody knows what they held before. */
export function withoutPast(bytes: OwnedBytes): GatheredPages {
  return { bytes, previous: new Uint8Array(0), previousOf: new Uint32Array(0) };
}

// Pages of a list read in runs of neighbours: a large guest has a million, and each read of a file takes as long as ten pages.

import type { OwnedBytes } from '../base/bytes.ts';
import type { Region } from '../memory/region.ts';
import type { Span } from '../memory/span.ts';

export interface RunsToRead {
  readonly region: Region;
  /** Ascending. */
  readonly pages: Uint32Array;
  /** Those of them to be read; all where left out. */
  readonly wanted?: ReadonlySet<number>;
}

/** Reads pages to where they stand in the list; the rest of a partly used last page is left as it is. */
export async function readRuns(
  { region, pages, wanted }: RunsToRead,
  into: OwnedBytes,
  read: (span: Span, into: Uint8Array) => void | Promise<void>,
): Promise<void> {
  const { pageBytes, sizeBytes } = region;
  for (let index = 0; index < pages.length; ) {
    let end = index;
    while (pages[end] === pages[index]! + end - index && wanted?.has(end) !== false) end++;
    if (end > index) {
      const offsetBytes = pages[index]! * pageBytes;
      const lengthBytes = Math.min((end - index) * pageBytes, sizeBytes - offsetBytes);
      const target = into.subarray(index * pageBytes, index * pageBytes + lengthBytes);
      await read({ region: region.id, offsetBytes, lengthBytes }, target);
    }
    index = Math.max(end, index + 1);
  }
}

// What a machine was made of, for a mirror that begins as that: the image of a clone.

import type { MirrorOrigin } from '../../tracking/mirror-origin.ts';
import type { RamRange } from './physmap.ts';
import type { Ram } from './process-ram.ts';
import type { RamMarks } from './ram-marks.ts';

/** Of a clone, whose marks tell from now on what it wrote since, and never all pages. Nothing of other machines. */
export function originOf(
  ram: Ram,
  ranges: readonly RamRange[],
  marks: RamMarks,
): { readonly origin?: MirrorOrigin } {
  if (ram.readImage === undefined) return {};
  marks.knowOrigin?.();
  const read: MirrorOrigin['read'] = (region, at, into) =>
    ram.readImage!(ranges[region]!.offsetBytes + at, into);
  return { origin: { read } };
}

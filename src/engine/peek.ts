// Peeking: ranges of guest memory, live or stored, all of one instant.

import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { Region } from '../memory/region.ts';
import { regionOf, type Span, spansAtAddress } from '../memory/span.ts';
import type { EngineParts } from './engine-parts.ts';
import { readTable } from './restore.ts';
import type { Base } from './save.ts';

/** Bytes by guest physical address, or by the offset in a region named. */
export type PeekRange =
  | { readonly address: number; readonly lengthBytes: number }
  | { readonly region: string; readonly offsetBytes: number; readonly lengthBytes: number };

/** The spans of a range; more than one where it crosses regions. Throws `span-out-of-range`, `not-found`. */
export function spansOf(regions: readonly Region[], range: PeekRange): Span[] {
  if ('address' in range) return spansAtAddress(regions, range.address, range.lengthBytes);
  const region = regions.find((one) => one.name === range.region);
  if (region === undefined) {
    throw new VitrineError('not-found', { region: range.region, regions: regions.map((one) => one.name) });
  }
  const span = { region: region.id, offsetBytes: range.offsetBytes, lengthBytes: range.lengthBytes };
  regionOf(regions, span);
  return [span];
}

/** Joins the bytes of spans back into one array a range. */
export function joinSpans(counts: readonly number[], parts: readonly OwnedBytes[]): OwnedBytes[] {
  let at = 0;
  return counts.map((count) => {
    const own = parts.slice(at, at + count);
    at += count;
    if (own.length === 1) return own[0]!;
    const whole = new Uint8Array(own.reduce((sum, part) => sum + part.length, 0));
    let offset = 0;
    for (const part of own) {
      whole.set(part, offset);
      offset += part.length;
    }
    return whole;
  });
}

/** Ranges of a stored snapshot. Throws what reading objects throws. */
export async function peekSnapshot(
  parts: EngineParts,
  snapshot: Base,
  ranges: readonly PeekRange[],
): Promise<OwnedBytes[]> {
  const regions: Region[] = snapshot.manifest.regions.map((region, id) => ({ id, ...region }));
  const spans = ranges.map((range) => spansOf(regions, range));
  const read: OwnedBytes[] = [];
  for (const { region, offsetBytes, lengthBytes } of spans.flat()) {
    read.push(await readTable(parts, snapshot.manifest.regions[region]!, offsetBytes, lengthBytes));
  }
  return joinSpans(
    spans.map((list) => list.length),
    read,
  );
}

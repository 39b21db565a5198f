// A span is a run of bytes inside one region.

import { VitrineError } from '../base/error.ts';
import type { Region } from './region.ts';

/** `lengthBytes` bytes from `offsetBytes` in the region with that id. */
export interface Span {
  readonly region: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** The region of a span; throws `span-out-of-range` unless the whole span lies in it. */
export function regionOf(regions: readonly Region[], span: Span): Region {
  const region = regions[span.region];
  const { offsetBytes, lengthBytes } = span;
  const fits =
    region !== undefined &&
    Number.isSafeInteger(offsetBytes) &&
    Number.isSafeInteger(lengthBytes) &&
    offsetBytes >= 0 &&
    lengthBytes >= 0 &&
    lengthBytes <= region.sizeBytes - offsetBytes;
  if (!fits) {
    throw new VitrineError('span-out-of-range', {
      region: span.region,
      offsetBytes,
      lengthBytes,
      sizeBytes: region?.sizeBytes ?? 0,
    });
  }
  return region;
}

/**
 * The spans that hold `lengthBytes` bytes from a guest physical address.
 *
 * A range may cross from one region into the next one. Throws `span-out-of-range` when a byte of it belongs to
 * no region.
 */
export function spansAtAddress(regions: readonly Region[], address: number, lengthBytes: number): Span[] {
  const spans: Span[] = [];
  let at = address;
  let left = lengthBytes;
  while (left > 0) {
    const region = regions.find(
      (one) => one.guestAddress !== null && at >= one.guestAddress && at - one.guestAddress < one.sizeBytes,
    );
    if (region === undefined || region.guestAddress === null) {
      throw new VitrineError('span-out-of-range', { address, lengthBytes, firstMissing: at });
    }
    const offsetBytes = at - region.guestAddress;
    const taken = Math.min(left, region.sizeBytes - offsetBytes);
    spans.push({ region: region.id, offsetBytes, lengthBytes: taken });
    at += taken;
    left -= taken;
  }
  return spans;
}

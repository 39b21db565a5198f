// Looking at a guest's memory: at rest, or in shared memory without stopping it.

import type { Guest } from '../guest/guest.ts';
import { copyShared, isSpanShared } from '../memory/shared-memory.ts';
import { regionOf, type Span } from '../memory/span.ts';
import type { PeekedBytes, PeekOptions } from './tracker.ts';

/** Copies spans of the guest; `whilePaused` runs work at rest and tells how long that was. */
export async function peekGuest(
  guest: Guest,
  spans: readonly Span[],
  { consistency = 'instant' }: PeekOptions,
  whilePaused: (work: () => Promise<void>) => Promise<number>,
): Promise<PeekedBytes> {
  const { regions, shared } = guest;
  for (const span of spans) regionOf(regions, span);
  if (consistency === 'torn' && shared !== undefined && spans.every((span) => isSpanShared(shared, span))) {
    return { bytes: spans.map((span) => copyShared(shared, span)), pauseMs: 0, consistency };
  }
  const bytes = spans.map((span) => new Uint8Array(span.lengthBytes));
  const pauseMs = await whilePaused(async () => {
    for (const [index, span] of spans.entries()) await guest.readPages(span, bytes[index]!);
  });
  return { bytes, pauseMs, consistency: 'instant' };
}

// Looking at a guest's memory: at rest, or without stopping it where its memory is shared or can be read beside it.

import type { Guest } from '../guest/guest.ts';
import { copyShared, isSpanShared, type SharedMemory } from '../memory/shared-memory.ts';
import { regionOf, type Span } from '../memory/span.ts';
import type { LocalPeekOptions, PeekedBytes, PeekOptions } from './tracker.ts';

/** Copies spans of the guest; `whilePaused` runs work at rest and tells how long that was. */
export async function peekGuest(
  guest: Guest,
  spans: readonly Span[],
  options: LocalPeekOptions,
  whilePaused: (work: () => Promise<void>) => Promise<number>,
): Promise<PeekedBytes> {
  for (const span of spans) regionOf(guest.regions, span);
  const torn = guest.shared && peekShared(guest.shared, spans, options);
  if (torn !== undefined) return torn;
  const allocate = options.allocate ?? ((lengthBytes: number) => new Uint8Array(lengthBytes));
  const bytes = spans.map((span) => allocate(span.lengthBytes));
  const mayBeTorn = options.consistency === 'torn' && guest.traits.tornIsNow !== false;
  if (mayBeTorn && guest.readTorn !== undefined) {
    for (const [index, span] of spans.entries()) await guest.readTorn(span, bytes[index]!);
    return { bytes, pauseMs: 0, consistency: 'torn' };
  }
  const pauseMs = await whilePaused(async () => {
    for (const [index, span] of spans.entries()) await guest.readPages(span, bytes[index]!);
  });
  return { bytes, pauseMs, consistency: 'instant' };
}

/** Copies spans without stopping the guest; undefined where that is not allowed or they are not all shared. */
export function peekShared(
  shared: SharedMemory,
  spans: readonly Span[],
  options: PeekOptions = {},
): PeekedBytes | undefined {
  if (options.consistency !== 'torn' || !spans.every((span) => isSpanShared(shared, span))) return undefined;
  return { bytes: spans.map((span) => copyShared(shared, span)), pauseMs: 0, consistency: 'torn' };
}

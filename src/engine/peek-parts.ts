// Peeks of any length at one instant: the guest rests as for a capture, and its mirror is then read part by part while it
// runs on. Nothing is copied but the part that is being handed over.

import { concatBytes, type OwnedBytes } from '../base/bytes.ts';
import { MIB } from '../base/limits.ts';
import { throwIfAborted } from '../base/work.ts';
import type { Span } from '../memory/span.ts';
import type { Tracker } from '../tracking/tracker.ts';

/** Bytes handed over at a time. */
const PART_BYTES = MIB;

/** Takes the parts in order; the next one is read when it has resolved. */
export type PartSink = (bytes: OwnedBytes) => Promise<void>;

export interface PeekPartsOptions {
  readonly signal?: AbortSignal;
}

/**
 * The bytes of `spans`, of one instant, to `sink`. Returns how long the guest rested.
 *
 * Nothing is committed: every page that changed is in the next capture too. Throws what the tracker and the sink throw,
 * and `aborted`.
 */
export async function peekMirror(
  tracker: Tracker,
  spans: readonly Span[],
  sink: PartSink,
  options: PeekPartsOptions = {},
): Promise<{ readonly pauseMs: number }> {
  const { regions } = await tracker.describe();
  const { pauseMs } = await tracker.capture({ full: false, hold: true });
  try {
    for (const { region, offsetBytes, lengthBytes } of spans) {
      // Safe: spans were checked against these regions.
      const { pageBytes } = regions[region]!;
      const end = offsetBytes + lengthBytes;
      for (let at = offsetBytes; at < end; ) {
        throwIfAborted(options.signal);
        const first = Math.floor(at / pageBytes);
        const stop = Math.min(end, first * pageBytes + PART_BYTES);
        const count = Math.ceil(stop / pageBytes) - first;
        const pages = Uint32Array.from({ length: count }, (_, index) => first + index);
        const { bytes } = await tracker.readPages(region, pages);
        await sink(concatBytes([bytes.subarray(at - first * pageBytes, stop - first * pageBytes)]));
        at = stop;
      }
    }
  } finally {
    await tracker.putBack();
  }
  return { pauseMs };
}

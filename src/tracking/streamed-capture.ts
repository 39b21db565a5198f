// A capture of a guest whose process sends its memory while it runs: what comes goes into the mirror, and what comes again
// replaces it. The mirror holds the instant when all has come; on a failure before that it holds pages of no instant, which are
// pending, and the next scan looks at all of them again.

import type { PageSet } from '../memory/page-set.ts';
import type { LiveParts } from './live-capture.ts';
import { streamReport } from './live-reports.ts';
import type { CapturedInstant } from './tracker.ts';

/** Captures an instant, or tells why the guest cannot send one now. Throws what the guest throws. */
export async function captureStreamed(
  { guest, mirror, ledger, slices }: LiveParts,
  full: boolean,
): Promise<CapturedInstant | { readonly reason: string }> {
  const listeners = guest.regions.map(({ id }) => ledger.listener(true, id));
  const streamed = await guest.streamInstant!((region, page, bytes) => {
    mirror.takePage(region, page, bytes, ledger.pending[region]!, listeners[region]!);
  }, slices.signal);
  if ('reason' in streamed) return streamed;
  // Every page was told, so whatever was marked before says no more.
  const everything: (PageSet | null)[] = guest.regions.map(() => null);
  ledger.settle({ pages: everything, commit: () => {}, putBack: () => {} });
  const changed = await ledger.changedInSlices(full, slices);
  const { devices, pauseMs } = streamed;
  return {
    changed,
    devices,
    pauseMs,
    pagesScanned: 0,
    epoch: ledger.epoch,
    live: streamReport(pauseMs),
  };
}

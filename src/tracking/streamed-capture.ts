// A capture of a guest whose process sends its memory while it runs: what comes goes into the mirror, and what comes again
// replaces it. The mirror holds the instant when all has come; on a failure before that it holds pages of no instant, which are
// pending, and the next scan looks at all of them again.
//
// A guest that tells what it wrote sends that alone, and what the mirror may hold otherwise; the mirror holds all else already, and
// takes no memory for it.

import { PageSet } from '../memory/page-set.ts';
import { pageCountOf } from '../memory/region.ts';
import type { LiveParts } from './live-capture.ts';
import { streamReport } from './live-reports.ts';
import type { CapturedInstant } from './tracker.ts';

/** Captures an instant, or tells why the guest cannot send one now. Throws what the guest throws. */
export async function captureStreamed(
  { guest, mirror, ledger, slices }: LiveParts,
  full: boolean,
): Promise<CapturedInstant | { readonly reason: string }> {
  const listeners = guest.regions.map(({ id }) => ledger.listener(true, id));
  const told = guest.regions.map((region) => new PageSet(pageCountOf(region)));
  const suspects = guest.regions.map(({ id }) => ledger.suspects(id));
  const streamed = await guest.streamInstant!(
    (region, page, bytes) => {
      told[region]!.add(page);
      mirror.takePage(region, page, bytes, ledger.pending[region]!, listeners[region]!);
    },
    slices.signal,
    suspects,
  );
  if ('reason' in streamed) return streamed;
  // Whatever was marked before was told; of marks themselves none were taken.
  const pages = told.map((set) => (set.size === set.pageCount ? null : set));
  ledger.settle({ pages, commit: () => {}, putBack: () => {} });
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

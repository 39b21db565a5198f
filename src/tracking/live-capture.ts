// A capture that does not stop the guest: it rests while its devices are saved and its barrier is armed, and runs on while
// the pages of that instant are brought into the mirror.
//
//   paused: take marks, read what no barrier covers, save devices, arm │ guest runs: ring ──▶ mirror   changed pages first
//                                                                      │             awaited pages ──▶ mirror, in slices
//
// Awaited is what may differ from the mirror: with marks, what the guest wrote since the last capture, so that the pages
// copied aside are those written before *and* after the instant. The mirror is memory, so a slow store never holds the guest
// up; the ring bounds only what waits for the mirror. A page that finds the ring full goes to the mirror at once, in the
// guest's time: the thread is the guest's and ours, so nobody could empty the ring while it blocks.
//
// What is compared: a page as it was when armed, with the mirror, as a scan does. A write that neither marks nor barrier see
// would make the instant wrong, and no audit in such a capture could find it: so marks are proven before (`mark-proof.ts`).
//
// When it fails on the way, the marks are put back: the mirror then holds some pages of the instant, which are pending, and
// the next scan looks at all of them again.

import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { MIB } from '../base/limits.ts';
import type { Barrier } from '../guest/barrier.ts';
import type { DeviceRecord, DirtyTake, Guest } from '../guest/guest.ts';
import { PageSet } from '../memory/page-set.ts';
import { pageCountOf } from '../memory/region.ts';
import { proveMarks } from './mark-proof.ts';
import type { Mirror } from './mirror.ts';
import type { PageLedger } from './page-ledger.ts';
import { Slices } from './slices.ts';
import { captureStreamed } from './streamed-capture.ts';
import type { CapturedInstant, LiveOptions, LiveReport } from './tracker.ts';

/** Old pages taken out of the ring between two looks at the clock: a few microseconds each. */
const DRAIN_PAGES = 16;

/** Slices for a live capture, which `signal` gives up: a thirtieth of a frame at 60 Hz. */
export function liveSlices(clock: Clock, signal: AbortSignal): Slices {
  return new Slices({ clock, sliceMs: 0.5, signal });
}

/** The ring when nobody says how large: 4,096 of the usual pages. */
const RING_BYTES = 16 * MIB;

export interface LiveParts {
  readonly guest: Guest;
  readonly mirror: Mirror;
  readonly ledger: PageLedger;
  readonly clock: Clock;
  readonly slices: Slices;
}

export interface LiveCaptureOptions extends LiveOptions {
  readonly full: boolean;
  /** Captures the guest at rest, for guests that have no barrier to be trusted. */
  readonly stopped: () => Promise<CapturedInstant>;
}

/**
 * Captures an instant of the guest while it runs, where it can be; resolves when the mirror holds it, page for page. Waits
 * that `slices` have counted already count too.
 *
 * On failure the guest runs on and no page is forgotten. Throws `aborted`, and what the guest throws.
 */
export async function captureLive(parts: LiveParts, options: LiveCaptureOptions): Promise<CapturedInstant> {
  const { guest, clock, slices } = parts;
  let reason: string | undefined;
  if (guest.streamInstant !== undefined) {
    const streamed = await captureStreamed(parts, options.full);
    if (!('reason' in streamed)) return streamed;
    reason = streamed.reason;
  } else reason = await whyStopped(parts);
  if (reason !== undefined || guest.openBarrier === undefined) {
    const instant = await options.stopped();
    return { ...instant, live: stoppedReport(instant, reason, slices) };
  }
  const barrier = guest.openBarrier({ ringBytes: options.bufferBytes ?? RING_BYTES, clock });
  return captureRunning(parts, barrier, options);
}

/** Why this guest has to be stopped for its captures. Proves its marks where that is due, while it runs. */
async function whyStopped({ guest, mirror, ledger, slices }: LiveParts): Promise<string | undefined> {
  const { tracking, trackingReason } = guest.traits;
  if (guest.openBarrier === undefined || tracking !== 'barrier') {
    return trackingReason ?? 'the guest has no write barrier';
  }
  await proveMarks(guest, mirror, ledger, slices);
  if (ledger.audit.distrust !== undefined) return ledger.audit.distrust;
  return ledger.audit.isDue ? 'its marks are not proven yet: it wrote too little' : undefined;
}

async function captureRunning(
  parts: LiveParts,
  barrier: Barrier,
  { full }: LiveCaptureOptions,
): Promise<CapturedInstant> {
  const { ledger, slices } = parts;
  let armed: Armed;
  let waited: Slices['waited'];
  try {
    armed = await arm(parts, barrier);
    // A guest of another thread runs on while pages are brought in here: those slices are no waits of its.
    waited = slices.waited;
    try {
      await bringIn(parts, barrier, armed);
    } catch (error) {
      armed.take.putBack();
      throw error;
    }
  } finally {
    barrier.close();
  }
  if (barrier.settled === undefined) waited = slices.waited;
  ledger.settle(armed.take);
  const changed = await ledger.changedInSlices(full, slices);
  const { pauseMs, devices, pagesScanned } = armed;
  const { copiedAside, spilled, peakRingBytes, longestStallMs, totalStallMs } = barrier.figures();
  const live: LiveReport = {
    mode: 'barrier',
    pauseMs,
    longestStallMs: Math.max(waited.longestMs, longestStallMs),
    totalStallMs: waited.totalMs + totalStallMs,
    pagesCopiedAside: copiedAside,
    spilled,
    peakRingBytes,
    ringBytes: barrier.ringBytes,
  };
  return { changed, devices, pauseMs, pagesScanned, epoch: ledger.epoch, live };
}

function stoppedReport({ pauseMs }: CapturedInstant, reason = '', slices: Slices): LiveReport {
  return {
    mode: 'stopped',
    reason,
    pauseMs,
    longestStallMs: slices.waited.longestMs,
    totalStallMs: slices.waited.totalMs,
    pagesCopiedAside: 0,
    spilled: 0,
    peakRingBytes: 0,
    ringBytes: 0,
  };
}

interface Armed {
  readonly take: DirtyTake;
  readonly awaited: readonly PageSet[];
  readonly devices: readonly DeviceRecord[];
  readonly pauseMs: number;
  /** Pages looked at in the pause. */
  readonly pagesScanned: number;
  /** How many of the awaited pages the mirror has. */
  readonly taken: { count: number };
}

/** The pause. */
async function arm(parts: LiveParts, barrier: Barrier): Promise<Armed> {
  const { guest, mirror, ledger, clock } = parts;
  await guest.pause({ marks: true, devices: true });
  const startMs = clock.nowMs();
  let armed: Omit<Armed, 'pauseMs'>;
  try {
    const take = ledger.take();
    try {
      const awaited: PageSet[] = [];
      let pagesScanned = 0;
      for (const region of guest.regions) {
        const { id } = region;
        const candidates = ledger.candidates(take, id);
        if (barrier.covers[id]) {
          awaited.push(candidates ?? PageSet.all(pageCountOf(region)));
          continue;
        }
        awaited.push(new PageSet(pageCountOf(region)));
        pagesScanned += await mirror.scan(
          guest,
          id,
          candidates,
          ledger.pending[id]!,
          ledger.listener(true, id),
        );
      }
      const devices = await guest.saveDevices();
      const taken = { count: 0 };
      const listeners = guest.regions.map(({ id }) => ledger.listener(true, id));
      barrier.arm(awaited, (region, page, bytes) => {
        taken.count++;
        mirror.takePage(region, page, bytes, ledger.pending[region]!, listeners[region]!);
      });
      armed = { take, awaited, devices, pagesScanned, taken };
    } catch (error) {
      take.putBack();
      throw error;
    }
  } finally {
    await guest.resume();
  }
  return { ...armed, pauseMs: clock.nowMs() - startMs };
}

/** Brings every awaited page into the mirror, while the guest runs in between. */
async function bringIn({ mirror, ledger, slices }: LiveParts, barrier: Barrier, armed: Armed): Promise<void> {
  const { awaited, taken } = armed;
  slices.begin();
  for (const [region, pages] of awaited.entries()) {
    const listener = ledger.listener(true, region);
    const release = (page: number): boolean => {
      const isOurs = barrier.release(region, page);
      if (isOurs) taken.count++;
      return isOurs;
    };
    for (const run of mirror.chunks(region, pages)) {
      await emptyRing(barrier, slices);
      mirror.takeRun(barrier.view(region), region, run, release, ledger.pending[region]!, listener);
      await slices.breathe();
    }
  }
  await barrier.settled?.();
  await emptyRing(barrier, slices);
  slices.end();
  const total = awaited.reduce((sum, pages) => sum + pages.size, 0);
  assert(taken.count === total, 'each awaited page is brought in once');
}

async function emptyRing(barrier: Barrier, slices: Slices): Promise<void> {
  while (barrier.drain(DRAIN_PAGES) === DRAIN_PAGES) await slices.breathe();
}

// Proof that a snapshot of a guest is whole: run on from it, go back, run on again; both runs must end alike. It finds what
// no look at the state can: a variable in a closure, a private field, a time of the host, a cache that a restore left stale.

import type { DeviceRecord, Guest } from '../guest/guest.ts';
import { differenceOf, type Instant, putInstant, takeInstant } from './guest-suites/instant.ts';
import { whilePaused } from './guest-suites/subject.ts';

export interface RoundTripOptions {
  /**
   * Lets the running guest go on by a fixed amount: so many instructions, cycles, frames; never by a time. What it answers
   * is compared too.
   */
  readonly run: () => unknown;
  /** Another guest made in the same way, to restore into: what an old one still holds by luck is missing there. */
  readonly other?: { readonly guest: Guest; readonly run: () => unknown };
  /** Names a difference of device records better than by the offset of a byte: `objectGraphGuest` gives it. */
  readonly nameDifference?: (a: readonly DeviceRecord[], b: readonly DeviceRecord[]) => string | undefined;
}

/** `stage`: right after the restore, after the same run again, or in another guest. */
export type RoundTripReport =
  | { readonly ok: true }
  | { readonly ok: false; readonly stage: 'restore' | 'run' | 'other'; readonly difference: string };

/**
 * Proves a capture of `guest` as it stands. Afterwards the guest is one run further, as if nothing had been proven; where
 * the proof fails, it is somewhere on the way. Keeps two copies of its memory meanwhile.
 *
 * Throws what the guest throws.
 */
export async function verifyRoundTrip(guest: Guest, options: RoundTripOptions): Promise<RoundTripReport> {
  const start = await whilePaused(guest, () => takeInstant(guest));
  const first = await ending(guest, options.run);
  const compare = (a: Instant, b: Instant) => difference(a, b, options);

  const restored = await whilePaused(guest, async () => {
    await putInstant(guest, start);
    return takeInstant(guest);
  });
  const lost = compare(start, restored);
  if (lost !== undefined) return { ok: false, stage: 'restore', difference: lost };

  const second = await ending(guest, options.run);
  const strayed = told(first.answer, second.answer, compare(first.instant, second.instant));
  if (strayed !== undefined) return { ok: false, stage: 'run', difference: strayed };

  if (options.other === undefined) return { ok: true };
  const { guest: other, run } = options.other;
  await whilePaused(other, () => putInstant(other, start));
  const third = await ending(other, run);
  const missing = told(first.answer, third.answer, compare(first.instant, third.instant));
  return missing === undefined ? { ok: true } : { ok: false, stage: 'other', difference: missing };
}

async function ending(guest: Guest, run: () => unknown): Promise<{ instant: Instant; answer: string }> {
  const answer = String(await run());
  return { instant: await whilePaused(guest, () => takeInstant(guest)), answer };
}

function difference(a: Instant, b: Instant, { nameDifference }: RoundTripOptions): string | undefined {
  // Devices first: they have names, and what differs in memory mostly follows from them.
  const named = nameDifference?.(a.devices, b.devices);
  if (named !== undefined) return named;
  const found = differenceOf(a, b);
  return found === 'none' ? undefined : found;
}

function told(first: string, second: string, state: string | undefined): string | undefined {
  if (state !== undefined || first === second) return state;
  return `the run answered ${JSON.stringify(first)} and ${JSON.stringify(second)}`;
}

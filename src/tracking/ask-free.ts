// Asking a guest for its free pages before a capture. A save does not wait for the answer, but where so much was written that
// storing it takes longer; an answer that comes too late is good for the next save.

import type { Clock } from '../base/clock.ts';
import { settledOrLate } from '../base/pacing.ts';
import type { Guest } from '../guest/guest.ts';
import type { PageLedger } from './page-ledger.ts';

/** The wait for an answer: less than the time that storing the written pages takes, and none where they are few. */
const WAIT = { leastPages: 1024, msPerPage: 0.01, mostMs: 200 } as const;

/** Asks in a pause of its own, which takes the guest's marks, and waits for the answer where that is worth it. */
export async function askFree(guest: Guest, ledger: PageLedger, clock: Clock): Promise<void> {
  if (!ledger.free.canAsk) return;
  let answered: Promise<void>;
  await guest.pause({ marks: true });
  try {
    answered = ledger.askFree();
  } finally {
    await guest.resume();
  }
  const written = ledger.unseenCount;
  if (written < WAIT.leastPages) return;
  await settledOrLate(answered, clock, Math.min(written * WAIT.msPerPage, WAIT.mostMs));
}

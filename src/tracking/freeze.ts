// One instant of a guest: a rest in which its memory is looked at, or copied to be looked at later, and its devices are told.

import type { Clock } from '../base/clock.ts';
import type { DeviceRecord, Guest } from '../guest/guest.ts';
import { pageCountOf } from '../memory/region.ts';
import type { PageLedger, TakenMarks } from './page-ledger.ts';
import { INSTANT, whileAtRest } from './rest.ts';
import type { CapturedInstant } from './tracker.ts';

export interface FreezeParts {
  readonly guest: Guest;
  readonly ledger: PageLedger;
  readonly clock: Clock;
}

/**
 * Brings the mirror up to date with an instant of the guest, unless it is already. Throws what the guest throws: no page is forgotten
 * then.
 */
export async function freeze(
  { guest, ledger, clock }: FreezeParts,
  isUpToDate = false,
): Promise<Omit<CapturedInstant, 'changed'>> {
  let pagesScanned = 0;
  let devices: readonly DeviceRecord[] = [];
  let copied: TakenMarks | undefined;
  const look = async (): Promise<void> => {
    if (isUpToDate) for (const region of guest.regions) pagesScanned += pageCountOf(region);
    else {
      const taken = await ledger.takeMarks();
      if (taken.isCopied) copied = taken;
      else pagesScanned = await ledger.scan(true, taken);
    }
  };
  let pauseMs: number;
  try {
    pauseMs = await whileAtRest(
      guest,
      clock,
      async () => {
        // A guest of another process tells them while its memory is looked at.
        const telling = Promise.allSettled([guest.saveDevices()]);
        try {
          await look();
        } finally {
          // It may not run before they are told.
          await telling;
        }
        const [told] = await telling;
        if (told.status === 'rejected') throw told.reason;
        devices = told.value;
      },
      INSTANT,
    );
  } catch (error) {
    copied?.take.putBack();
    throw error;
  }
  if (copied !== undefined) pagesScanned = await ledger.scan(true, copied);
  return { devices, pauseMs, pagesScanned, epoch: ledger.epoch };
}

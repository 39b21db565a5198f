// Taking a guest to another instant for whoever follows its tracker. As a restore it is all or nothing; unlike one it leaves
// the base of the saves as it is: what it writes is pending, as if the guest had done it.

import type { DeviceRecord, Guest } from '../guest/guest.ts';
import type { Departure } from './follower.ts';
import type { Mirror } from './mirror.ts';
import type { PageLedger } from './page-ledger.ts';
import { swapIn } from './swap.ts';

/** Answers with the devices of the other instant, when all its pages were put. */
export type ChooseInstant = (here: Departure) => Promise<readonly DeviceRecord[]>;

/** Takes the paused guest there. Returns the pages written; on failure the guest is as it was. */
export async function travelTo(
  guest: Guest,
  mirror: Mirror,
  ledger: PageLedger,
  choose: ChooseInstant,
): Promise<number> {
  await ledger.scan(true);
  const here: Departure = {
    devices: await guest.saveDevices(),
    page: (region, page) => mirror.page(region, page),
    put(region, page, bytes) {
      ledger.stage(region, page, true);
      mirror.write(region, page, bytes);
    },
  };
  const pagesWritten = await swapIn(guest, mirror, ledger.staged, await choose(here));
  ledger.settleStaged();
  return pagesWritten;
}

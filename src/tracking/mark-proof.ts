// Proves a guest's marks without a capture: as `mark-audit.ts` does, but a slice of memory at a time, while the guest runs in
// between. A live capture needs it, since it cannot be right where a mark is missed, and its pause must not grow with RAM.
//
// Exact: when a slice is looked at, all marks were taken, and what the mirror holds of it is what the guest held when it was
// looked at last. So a page that changed since must have been marked since.

import type { Guest } from '../guest/guest.ts';
import type { Mirror } from './mirror.ts';
import type { PageLedger } from './page-ledger.ts';
import type { Slices } from './slices.ts';

/** A pass in which nothing changed proves nothing; a guest that idles on is given up on, and stopped for its captures. */
const MAX_PASSES = 6;

/** Compares all marked regions with their marks until these are proven, found wrong, or a few passes are over. */
export async function proveMarks(
  guest: Guest,
  mirror: Mirror,
  ledger: PageLedger,
  slices: Slices,
): Promise<void> {
  for (let pass = 0; pass < MAX_PASSES && ledger.audit.isDue; pass++) {
    await slices.whilePaused(guest, looks(guest, mirror, ledger), () => {
      const taken = ledger.takeForLater();
      ledger.checkpoint?.suspect(taken);
    });
    ledger.audit.endScan();
  }
}

/** One pass, a step a run. */
function* looks(guest: Guest, mirror: Mirror, ledger: PageLedger): Generator<() => Promise<void>> {
  for (const { id } of guest.regions) {
    let isTold = true;
    for (const run of mirror.chunks(id, null)) {
      if (!isTold) break;
      yield async () => {
        const told = ledger.suspects(id);
        isTold = told !== null;
        if (!isTold) return;
        const listener = ledger.listener(true, id, { told });
        await mirror.scanRun(guest, id, run, ledger.pending[id]!, listener);
        ledger.looked(id, run);
      };
    }
  }
}

// Free memory of a guest, by a balloon that reports: the guest's kernel names blocks of memory that are free, some seconds after
// they became so, and QEMU makes holes of them in the RAM file. They read as zeros from then on: they take no room of the host's, and in a
// snapshot they are zero pages, which cost nothing.
//
//   kernel: free blocks ─▶ balloon ─▶ QEMU: a hole in the RAM file ─▶ a save finds zeros
//
// Nobody asks and nobody waits, so a save is as quick with a kernel that says nothing. What the kernel says need not be trusted
// either: what is saved is the memory as it is, and a guest that names memory which it uses has lost that in itself already.
//
// QEMU's other way, `free-page-hint`, works during a migration alone and leaves pages out of its stream; nothing here reads RAM so.

import { isVitrineError } from '../../base/error.ts';
import { BALLOON_ID } from './profile.ts';
import type { Qmp } from './qmp.ts';

/** Of QEMU's own words for what the driver in the guest and the device agreed on. */
const REPORTING = 'VIRTIO_BALLOON_F_REPORTING';
const DRIVER_OK = 'VIRTIO_CONFIG_S_DRIVER_OK';

/** `told`: the guest's kernel tells what is free; `untold`: it has no driver for it, or none yet; `unknown`: QEMU does not say. */
export type FreePagesState = 'told' | 'untold' | 'unknown';

/** Whether the guest's kernel tells its free memory. Throws what a lost machine's monitor throws. */
export async function freePagesState(qmp: Qmp): Promise<FreePagesState> {
  try {
    const { status, 'guest-features': features } = await qmp.execute('x-query-virtio-status', {
      path: `/machine/peripheral/${BALLOON_ID}/virtio-backend`,
    });
    const isThere = status?.statuses?.some((one) => one.startsWith(DRIVER_OK)) ?? false;
    const isAgreed = features?.['dev-features']?.some((one) => one.startsWith(REPORTING)) ?? false;
    return isThere && isAgreed ? 'told' : 'untold';
  } catch (error) {
    // A command that QEMU may change or take away.
    if (isVitrineError(error, 'guest-failed')) return 'unknown';
    throw error;
  }
}

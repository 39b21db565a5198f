// When QEMU has looked at its sockets.

import type { Qmp } from './qmp.ts';

/**
 * Resolves when QEMU has looked at what was written to its sockets before the call: when it has answered two questions that were asked one
 * after another. In the turn of its loop that reads the first one it may look at a socket later; in the next turn it has. Throws
 * `guest-lost`, `guest-timeout`.
 */
export async function untilLooked(qmp: Qmp): Promise<void> {
  for (let question = 0; question < 2; question++) await qmp.execute('query-status');
}

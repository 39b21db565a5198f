// Stopping a machine, and knowing whether it ran until then, in one exchange.
//
// The monitor answers in order, and says `STOP` before it answers `stop` to whoever stopped a machine that ran: so nothing has to
// be asked before, which would be one more exchange in each pause.

import type { QemuHost } from './guest-options.ts';
import type { RunState } from './qmp-commands.ts';

/**
 * Stops a machine if it runs, once it has what its bell said. `status` is what it rests in, which tells one that turned itself off in
 * between.
 */
export async function comeToRest({
  qmp,
  bell,
}: Pick<QemuHost, 'qmp' | 'bell'>): Promise<{ readonly status: RunState; readonly ran: boolean }> {
  await bell?.hush();
  let ran = false;
  const leave = qmp.onEvent(({ event }) => {
    if (event === 'STOP') ran = true;
  });
  try {
    const [, { status }] = await Promise.all([qmp.execute('stop'), qmp.execute('query-status')]);
    return { status, ran };
  } finally {
    leave();
  }
}

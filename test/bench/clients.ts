// What a crowd of clients gets of one bridge: the same number of peeks by one client, and by many at once.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RemoteGuest } from '../../src/bridge/remote-guest.ts';
import { hasLinux } from './linux.ts';
import { qemuVersion } from './qemu.ts';
import { type BenchResult, median, takeTurns } from './row.ts';
import { MAX_CLIENTS, ServedLinux } from './served-linux.ts';

const KIB = 1024;
const PEEKS = 320;
const PEEK_BYTES = 64 * KIB;
const FROM = 16 * KIB * KIB;
const TIMES = 7;

/** Nothing where there is no QEMU, or no Linux. */
export async function crowdOfClients(): Promise<BenchResult[]> {
  if (qemuVersion() === undefined || !hasLinux()) return [];
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-clients-'));
  const served = await ServedLinux.start(folder);
  try {
    const clients: RemoteGuest[] = [];
    while (clients.length < MAX_CLIENTS) clients.push(await served.connect());
    const waits: number[] = [];
    const peeks = (by: readonly RemoteGuest[]) => async () => {
      const startMs = performance.now();
      await Promise.all(
        by.map(async (client) => {
          for (let count = 0; count < PEEKS / by.length; count++) {
            const askedMs = performance.now();
            await client.peek([{ address: FROM, lengthBytes: PEEK_BYTES }]);
            if (by.length === MAX_CLIENTS) waits.push(performance.now() - askedMs);
          }
        }),
      );
      return performance.now() - startMs;
    };
    const ms = await takeTurns(TIMES, { one: peeks(clients.slice(0, 1)), all: peeks(clients) });
    return [
      {
        ...{ name: `${PEEKS} peeks of 64 KiB, ${MAX_CLIENTS} clients vs one, ms`, value: ms.one / ms.all },
        ...{ unit: 'x', better: 'higher', ours: ms.all, peer: ms.one },
      },
      {
        ...{ name: `a peek of 64 KiB, ${MAX_CLIENTS} clients at once: wait`, value: median(waits) },
        ...{ unit: 'ms', better: 'lower', ours: median(waits) },
      },
      {
        ...{
          name: `a peek of 64 KiB, ${MAX_CLIENTS} clients at once: longest wait`,
          value: Math.max(...waits),
        },
        ...{ unit: 'ms', better: 'lower', ours: Math.max(...waits) },
      },
    ];
  } finally {
    await served.close();
    await rm(folder, { recursive: true, force: true });
  }
}

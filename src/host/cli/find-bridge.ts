// Which bridge a command means: the one that runs for this user, or the one that `--bridge` names among several.

import { VitrineError } from '../../base/error.ts';
import { runFolder, runningBridges, type TokenFile } from '../bridge/token-file.ts';

/** `wanted` is a port or an origin. Throws `connection-lost` when none runs, `name-ambiguous` when several do. */
export async function findBridge(environment: NodeJS.ProcessEnv, wanted?: string): Promise<TokenFile> {
  const all = await runningBridges(runFolder(environment));
  const fitting = all.filter(
    ({ port, origin }) => wanted === undefined || [String(port), origin].includes(wanted),
  );
  const [bridge] = fitting;
  if (bridge === undefined) {
    throw new VitrineError('connection-lost', {
      bridge: wanted ?? 'any',
      running: all.map(({ origin }) => origin),
      start: 'vitrine serve',
    });
  }
  if (fitting.length > 1) {
    throw new VitrineError('name-ambiguous', {
      name: '--bridge',
      bridges: fitting.map(({ origin }) => origin),
    });
  }
  return bridge;
}

// Where snapshots are kept unless told otherwise: the place that the XDG base directories give for a user's data.

import { homedir } from 'node:os';
import { join } from 'node:path';

/** `$VITRINE_STORE`, else `vitrine/store` in `$XDG_DATA_HOME` or `~/.local/share`. */
export function defaultStore(environment: NodeJS.ProcessEnv): string {
  const { VITRINE_STORE: own, XDG_DATA_HOME: data } = environment;
  if (own !== undefined && own !== '') return own;
  const base = data !== undefined && data !== '' ? data : join(homedir(), '.local', 'share');
  return join(base, 'vitrine', 'store');
}

// What dead writers left in a store's directory, and how it goes: files that were being written, and links of lock
// chains that are over. Only what is old is touched, so that nobody alive can be at work on it.

import { type FileSystem, orAbsent } from './fs-files.ts';
import { LOCK_NAME, NEXT_PREFIX } from './fs-lock.ts';

/** Files that are being written start so: no key does. */
export const TEMPORARY_PREFIX = '~tmp-';

/** Removes rubbish older than a time, in a directory and below. */
export async function removeRubbish(files: FileSystem, directory: string, beforeMs: number): Promise<void> {
  const entries = await files.readDirectory(directory);
  // While there is a lock, its chain is in use; without one, all links are rubbish.
  const isLocked = entries.some((entry) => entry.name === LOCK_NAME);
  for (const { name, isDirectory } of entries) {
    const path = `${directory}/${name}`;
    if (isDirectory) await removeRubbish(files, path, beforeMs);
    if (!name.startsWith(TEMPORARY_PREFIX) && (isLocked || !name.startsWith(NEXT_PREFIX))) continue;
    const modifiedMs = await orAbsent(files.modifiedMs(path));
    if (modifiedMs !== undefined && modifiedMs < beforeMs) await orAbsent(files.unlink(path));
  }
}

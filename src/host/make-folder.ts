// Folders that a user named: made with those above them, and a failure has a code and the path.

import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { VitrineError } from '../base/error.ts';

/**
 * Makes a folder that only its owner enters, and those above it; one that is there stays as it is. Throws `store-io` with the path.
 *
 * Level by level: where a file system makes none, as `/proc`, Node's own recursion never ends.
 */
export async function makeFolder(path: string): Promise<void> {
  const whole = resolve(path);
  try {
    await makeLevel(whole);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new VitrineError(
      'store-io',
      { folder: whole, reason, wants: 'a folder that can be made' },
      { cause },
    );
  }
}

async function makeLevel(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
    return;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (code !== 'ENOENT' || dirname(path) === path || (await isThere(dirname(path)))) throw error;
  }
  await makeLevel(dirname(path));
  await mkdir(path, { mode: 0o700 }).catch(async (error: NodeJS.ErrnoException) => {
    // Another one made it meanwhile.
    if (error.code !== 'EEXIST') throw error;
  });
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

// A machine's RAM as a thread reads it: a file that it opens for itself.

import { openSync, readSync } from 'node:fs';
import { VitrineError } from '../../base/error.ts';

/** Throws `guest-failed` when it is not there. */
export function openRam(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    throw new VitrineError('guest-failed', { file: path }, { cause });
  }
}

/** Fills `into`. Throws `guest-failed` when the file became shorter. */
export function readFully(file: number, path: string, into: Uint8Array, offsetBytes: number): void {
  for (let done = 0; done < into.length; ) {
    const count = readSync(file, into, done, into.length - done, offsetBytes + done);
    if (count === 0) throw new VitrineError('guest-failed', { file: path, reason: 'it became shorter' });
    done += count;
  }
}

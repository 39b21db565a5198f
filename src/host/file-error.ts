// What the platform throws of files that somebody named, with our codes and the name.

import { readFile } from 'node:fs/promises';
import { VitrineError } from '../base/error.ts';

/** What `work` throws of a file, as one of ours. */
export function namingFile<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw fileError(file, cause);
  }
}

/** `not-found`, `store-full` or `store-io` for what the platform throws of a file; anything else as it is. */
export function fileError(file: string, cause: unknown): unknown {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === undefined || cause instanceof VitrineError) return cause;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return new VitrineError(
      'not-found',
      { file, hint: 'Look whether it is there, or its folder.' },
      { cause },
    );
  if (code === 'EISDIR') return new VitrineError('argument-invalid', { file, wants: 'a file' }, { cause });
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new VitrineError(
      'store-full',
      { file, hint: 'Free space there, or choose another place.' },
      { cause },
    );
  return new VitrineError('store-io', { file, reason: (cause as Error).message }, { cause });
}

/** A file's bytes. Throws as `fileError` has it. */
export async function readNamedFile(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw fileError(file, cause);
  }
}

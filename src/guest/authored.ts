// Functions of an emulator's author, called from inside: whatever they throw arrives with a code and says which one it was.

import { VitrineError } from '../base/error.ts';

/** What `call` returns. Throws `guest-failed` with the author's error as its cause; an error that has a code stays as it is. */
export function authored<T>(name: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw authoredError(name, cause);
  }
}

/** The error of an author's function, with a code. */
export function authoredError(name: string, cause: unknown): VitrineError {
  return cause instanceof VitrineError
    ? cause
    : new VitrineError('guest-failed', { function: name }, { cause });
}

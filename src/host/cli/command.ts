// What a command of `vitrine` is. One file a command; `commands.ts` is the table.

import type { ErrorCode } from '../../base/error.ts';

/** Where a command writes: whole texts, ends of lines included. */
export interface Output {
  out(text: string): void;
  error(text: string): void;
}

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** All of `vitrine NAME --help`: examples first. */
  readonly help: string;
  /** Does the work. A wrong command line throws `UsageError`, what fails a `VitrineError` or the platform's error. */
  run(args: readonly string[], output: Output): Promise<void>;
}

/** The command line cannot be understood; nothing was done. */
export class UsageError extends Error {}

export const EXIT = { done: 0, failed: 1, usage: 2, notFound: 3, integrity: 4, mismatch: 7 } as const;

/** The exit code of what failed, where a script may want to tell it apart. */
export const EXIT_OF: Partial<Record<ErrorCode, number>> = {
  'not-found': EXIT.notFound,
  'object-missing': EXIT.integrity,
  'object-damaged': EXIT.integrity,
  'replay-diverged': EXIT.integrity,
  'guest-mismatch': EXIT.mismatch,
};

// What a command of `vitrine` is. One file a command; `commands.ts` is the table.

import type { ErrorCode } from '../../base/error.ts';

/** Where a command writes: whole texts, ends of lines included. */
export interface Output {
  out(text: string): void;
  error(text: string): void;
}

/** What surrounds a command: a shell's, or a test's. */
export interface Surroundings {
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal;
  readonly environment: NodeJS.ProcessEnv;
  /** Columns of the terminal that standard error is; undefined when it is none. */
  readonly columns: number | undefined;
}

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** All of `vitrine NAME --help`: examples first. */
  readonly help: string;
  /** What its first name may be, where that is one of a few words; shells complete them. */
  readonly words?: readonly string[];
  /** Does the work. A wrong command line throws `UsageError`, what fails a `VitrineError` or the platform's error. */
  run(args: readonly string[], output: Output, surroundings: Surroundings): Promise<void>;
}

/** The command line cannot be understood; nothing was done. */
export class UsageError extends Error {}

export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  integrity: 4,
  busy: 5,
  permission: 6,
  mismatch: 7,
  noSpace: 8,
  connection: 9,
  interrupted: 130,
} as const;

/** The exit code of what failed, where a script may want to tell it apart. */
export const EXIT_OF: Partial<Record<ErrorCode, number>> = {
  'not-found': EXIT.notFound,
  'object-missing': EXIT.integrity,
  'object-damaged': EXIT.integrity,
  'format-checksum': EXIT.integrity,
  'format-truncated': EXIT.integrity,
  'replay-diverged': EXIT.integrity,
  busy: EXIT.busy,
  overloaded: EXIT.busy,
  'permission-denied': EXIT.permission,
  'guest-mismatch': EXIT.mismatch,
  'format-version': EXIT.mismatch,
  'store-full': EXIT.noSpace,
  'connection-lost': EXIT.connection,
  aborted: EXIT.interrupted,
};

// `vitrine` as a shell runs it, in this process: what it prints, its exit code, and how it is interrupted.

import { runCli } from '../../../src/host/cli/run-cli.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

export interface RunningCommand {
  /** What it printed until now. */
  readonly printed: { out: string; error: string };
  /** The first line on standard output; rejects with what was complained of when it ends without one. */
  readonly firstLine: Promise<string>;
  /** Ctrl-C. */
  interrupt(): void;
  readonly ended: Promise<Ran>;
}

/** Starts a command; `environment` is all of its environment. */
export function startCommand(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  columns?: number,
): RunningCommand {
  const printed = { out: '', error: '' };
  const interrupt = new AbortController();
  let tellLine = (_line: string): void => {};
  const line = new Promise<string>((resolve) => {
    tellLine = resolve;
  });
  const code = runCli(
    args,
    {
      out: (text) => {
        printed.out += text;
        if (printed.out.includes('\n')) tellLine(printed.out.split('\n')[0]!);
      },
      error: (text) => {
        printed.error += text;
      },
    },
    { signal: interrupt.signal, environment, columns },
  );
  const failed = code.then((value) => Promise.reject(new Error(`ended with ${value}: ${printed.error}`)));
  const firstLine = Promise.race([line, failed]);
  // Commands that nobody waits for this way may end without a line.
  firstLine.catch(() => {});
  return {
    printed,
    firstLine,
    interrupt: () => interrupt.abort(),
    ended: code.then((value) => ({ code: value, ...printed })),
  };
}

/** Runs a command to its end. */
export function runCommand(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ran> {
  return startCommand(args, environment).ended;
}

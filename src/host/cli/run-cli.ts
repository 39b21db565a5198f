// `vitrine COMMAND …`: finds the command, runs it, and turns what it throws into a line on standard error, one more that says what to do
// about it, and an exit code.
//
//   0  done      1  failed: `vitrine: CODE: message`      2  the command line was not understood
//   3  not found      4  damaged, or not what it was      5  busy      6  not permitted      7  of another machine or version
//   8  no space left      9  no connection      130  interrupted

import { VitrineError } from '../../base/error.ts';
import { adviceOf } from './advice.ts';
import { type Command, EXIT, EXIT_OF, type Output, type Surroundings, UsageError } from './command.ts';
import { COMMANDS } from './commands.ts';
import { findPackage } from './package-place.ts';

/** Nobody interrupts, and nothing is a terminal. */
const PLAIN: Surroundings = { signal: new AbortController().signal, environment: {}, columns: undefined };

/** Runs one command line, without the names of Node and the program. The result is the exit code; it does not throw. */
export async function runCli(
  args: readonly string[],
  output: Output,
  surroundings: Surroundings = PLAIN,
): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const command = COMMANDS.find((one) => one.name === rest[0]);
    output.out(command?.help ?? overview());
    return name === undefined ? EXIT.usage : EXIT.done;
  }
  if (name === '--version' || name === '-V') {
    output.out(`${findPackage().version}\n`);
    return EXIT.done;
  }
  const command = COMMANDS.find((one) => one.name === name);
  if (command === undefined) {
    output.error(`vitrine: no command "${name}"${likeness(name)}; "vitrine --help" lists them\n`);
    return EXIT.usage;
  }
  // What follows "--" is for another program.
  const own = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest;
  if (own.includes('--help') || own.includes('-h')) {
    output.out(command.help);
    return EXIT.done;
  }
  return runCommand(command, rest, output, surroundings);
}

async function runCommand(
  command: Command,
  args: readonly string[],
  output: Output,
  surroundings: Surroundings,
): Promise<number> {
  try {
    await command.run(args, output, surroundings);
    return EXIT.done;
  } catch (error) {
    const wrong = isUsage(error) ? error.message : wrongField(error);
    if (wrong !== undefined) {
      output.error(`vitrine ${command.name}: ${wrong}\nvitrine ${command.name} --help tells more.\n`);
      return EXIT.usage;
    }
    const advice = error instanceof VitrineError ? adviceOf(error) : undefined;
    output.error(`vitrine: ${describe(error)}\n${advice === undefined ? '' : `${advice}\n`}`);
    return (error instanceof VitrineError ? EXIT_OF[error.code] : undefined) ?? EXIT.failed;
  }
}

/** Ours, and what `parseArgs` throws. */
function isUsage(error: unknown): error is Error {
  if (error instanceof UsageError) return true;
  return error instanceof Error && String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS');
}

/** Of a field of a request that is not as it has to be: it came from the command line. */
function wrongField(error: unknown): string | undefined {
  if (!(error instanceof VitrineError) || error.code !== 'format-range') return undefined;
  const { record, field, expected, received } = error.data;
  if (!String(record).endsWith(' request')) return undefined;
  return `${field} ${received} has to be as ${expected}`;
}

function describe(error: unknown): string {
  // A VitrineError's message begins with its code. A hint in its data is the advice below it.
  if (error instanceof VitrineError && error.data.hint !== undefined) {
    const { hint, ...data } = error.data;
    return new VitrineError(error.code, data).message;
  }
  if (error instanceof Error) return error.message;
  return String(error);
}

/** The command that was perhaps meant: one letter more, less or other, or two in the wrong order. */
function likeness(name: string): string {
  const wanted = COMMANDS.find((one) => one.name.startsWith(name) || isNear(one.name, name));
  return wanted === undefined ? '' : `; did you mean "${wanted.name}"?`;
}

function isNear(a: string, b: string): boolean {
  let start = 0;
  while (start < a.length && a[start] === b[start]) start += 1;
  const [restA, restB] = [a.slice(start), b.slice(start)];
  const isSwapped = restA.slice(0, 2) === [...restB.slice(0, 2)].reverse().join('');
  return (
    restA.slice(1) === restB ||
    restA === restB.slice(1) ||
    restA.slice(1) === restB.slice(1) ||
    (isSwapped && restA.slice(2) === restB.slice(2))
  );
}

function overview(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  const lines = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `vitrine COMMAND …\n\n${lines.join('\n')}\n\nvitrine COMMAND --help tells more; vitrine --version is this release.\n`;
}

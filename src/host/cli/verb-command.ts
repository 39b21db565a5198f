// Commands that are verbs of a bridge: what they have in common. The command line is read, what it works on is opened, and
// closed whatever happens; results go to standard output, as text or with `--json` as one object a command.

import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { WorkOptions } from '../../base/work.ts';
import type { BridgeClient } from '../../bridge/bridge-client.ts';
import { type Command, type Output, type Surroundings, UsageError } from './command.ts';
import { openClient } from './open-client.ts';
import { openProgressLine } from './progress-line.ts';

type OptionTable = NonNullable<ParseArgsConfig['options']>;
type Values = Readonly<Record<string, string | boolean | undefined>>;

/** What a verb's command has to work with. */
export interface VerbCall {
  readonly client: BridgeClient;
  /** What stands beside the options. */
  readonly names: readonly string[];
  /** What stands after `--`. */
  readonly rest: readonly string[];
  readonly values: Values;
  /** For long work: Ctrl-C gives it up, and progress is shown. */
  readonly work: WorkOptions;
  /** Prints the result: `value` with `--json`, else `text`. */
  result(value: unknown, text: string): void;
  /** Says something to the person, if there is one: nothing with `--json`. */
  say(text: string): void;
}

export interface VerbCommandOptions {
  readonly name: string;
  readonly summary: string;
  /** Examples, then what it does; options that all have are added. */
  readonly help: string;
  /** Whether a store alone is enough. */
  readonly needs: 'machines' | 'snapshots';
  /** How many names there may be. */
  readonly names: { readonly least: number; readonly most: number; readonly what: string };
  readonly options?: OptionTable;
  readonly takesRest?: boolean;
  /** As `Command.words`. */
  readonly words?: readonly string[];
  run(call: VerbCall): Promise<void>;
}

const COMMON: OptionTable = {
  bridge: { type: 'string' },
  store: { type: 'string' },
  json: { type: 'boolean' },
};

const COMMON_HELP = `  --bridge PORT         which bridge, where several run
  --store DIR           the bridge that has this store`;

const EXIT_HELP = `Exit code: 0 done, 1 failed (vitrine: CODE: message), 2 the command line was not understood, 3 not found, 4 damaged, 5 busy,
6 not permitted, 7 of another machine or version, 8 no space left, 9 no bridge answers, 130 interrupted.
`;

/** A command of a verb. */
export function verbCommand(definition: VerbCommandOptions): Command {
  const { name, summary, needs, words } = definition;
  const own = definition.help.trimEnd();
  const hasOptions = /^ /.test(own.slice(own.lastIndexOf('\n') + 1));
  const orStore = needs === 'snapshots' ? ', or without one the store itself; or a bundle (.vitrine)' : '';
  return {
    name,
    summary,
    help: `${own}\n${hasOptions ? '' : '\n'}${COMMON_HELP}${orStore}
  --json                prints one JSON object
  -h, --help            this text

${EXIT_HELP}`,
    ...(words === undefined ? {} : { words }),
    run: (args, output, surroundings) => run(definition, args, output, surroundings),
  };
}

async function run(
  definition: VerbCommandOptions,
  args: readonly string[],
  output: Output,
  { signal, environment, columns }: Surroundings,
): Promise<void> {
  const { names: allowed, needs, takesRest } = definition;
  const end = args.indexOf('--');
  const rest = end < 0 ? [] : args.slice(end + 1);
  if (end >= 0 && takesRest !== true) throw new UsageError(`${definition.name} takes nothing after "--"`);
  const { values, positionals: names } = parseArgs({
    args: end < 0 ? [...args] : args.slice(0, end),
    allowPositionals: true,
    options: { ...COMMON, ...definition.options },
  }) as { values: Values; positionals: string[] };
  if (names.length < allowed.least || names.length > allowed.most) {
    throw new UsageError(`give ${allowed.what}`);
  }
  const text = (name: string): string | undefined => {
    const value = values[name];
    return typeof value === 'string' ? value : undefined;
  };
  const opened = await openClient({ bridge: text('bridge'), store: text('store'), needs, environment });
  const progress = openProgressLine((line) => output.error(line), columns);
  const isJson = values.json === true;
  const stopListening = opened.client.onState(({ kind }) => {
    if (kind !== 'waiting' || isJson) return;
    progress.end();
    output.error('The connection was lost; trying again …\n');
  });
  try {
    await definition.run({
      client: opened.client,
      ...{ names, rest, values },
      work: { signal, onProgress: isJson ? () => {} : (step) => progress.onProgress(step) },
      result: (value, shown) => {
        progress.end();
        output.out(isJson ? `${JSON.stringify(value)}\n` : shown);
      },
      say: (line) => {
        progress.end();
        if (!isJson) output.error(`${line}\n`);
      },
    });
  } finally {
    progress.end();
    stopListening();
    await opened.close();
  }
}

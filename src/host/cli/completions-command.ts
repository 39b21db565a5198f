// `vitrine completions`: what a shell completes. Names of commands and their options come from the table and its help, so that
// a new command is completed too; words that stand behind one come from the command.

import { parseArgs } from 'node:util';
import { type Command, type Output, UsageError } from './command.ts';

const HELP = `vitrine completions bash > ~/.local/share/bash-completion/completions/vitrine
vitrine completions zsh > "\${fpath[1]}/_vitrine"
vitrine completions fish > ~/.config/fish/completions/vitrine.fish

Prints a script that completes commands, the words behind them (rewind start) and their options.

  -h, --help            this text

Exit code: 0 done, 2 the command line was not understood.
`;

const SHELLS = { bash: bashScript, zsh: zshScript, fish: fishScript };

/** The command, over the table that it completes. */
export function completionsCommand(commands: () => readonly Command[]): Command {
  return {
    name: 'completions',
    summary: 'a script for bash, zsh or fish',
    help: HELP,
    words: Object.keys(SHELLS),
    run: async (args, output) => run(args, output, commands()),
  };
}

function run(args: readonly string[], output: Output, commands: readonly Command[]): void {
  const { positionals } = parseArgs({ args: [...args], allowPositionals: true, options: {} });
  const [shell, ...others] = positionals;
  const script = Object.hasOwn(SHELLS, shell ?? '') ? SHELLS[shell as keyof typeof SHELLS] : undefined;
  if (script === undefined || others.length > 0) throw new UsageError('name a shell: bash, zsh or fish');
  output.out(script(commands));
}

/** The long options that a command's help names. */
function optionsOf({ help }: Pick<Command, 'help'>): string[] {
  return [...new Set([...help.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map((match) => match[1]!))];
}

function bashScript(commands: readonly Command[]): string {
  const cases = commands
    .map((one) => {
      const second = one.words === undefined ? '' : ` second="${one.words.join(' ')}"`;
      return `    ${one.name}) words="${optionsOf(one).join(' ')}"${second} ;;\n`;
    })
    .join('');
  return `_vitrine() {
  local word="\${COMP_WORDS[COMP_CWORD]}" words="${commands.map(({ name }) => name).join(' ')}" second=""
  if [ "$COMP_CWORD" -gt 1 ]; then
    case "\${COMP_WORDS[1]}" in
${cases}    *) words="" ;;
    esac
    if [ "$COMP_CWORD" -eq 2 ]; then words="$words $second"; fi
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _vitrine vitrine
`;
}

function zshScript(commands: readonly Command[]): string {
  const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  const names = commands.map(
    ({ name, summary }) => `    ${quoted(`${name}:${summary.replaceAll(':', '\\:')}`)}\n`,
  );
  const cases = commands.map(({ words, ...one }) => {
    const second =
      words === undefined ? '' : `if (( CURRENT == 3 )); then compadd -- ${words.join(' ')}; fi; `;
    return `    ${one.name}) ${second}compadd -- ${optionsOf(one).join(' ')}; _files ;;\n`;
  });
  return `#compdef vitrine
_vitrine() {
  local -a names=(
${names.join('')}  )
  if (( CURRENT == 2 )); then _describe command names; return; fi
  case "$words[2]" in
${cases.join('')}  esac
}
_vitrine "$@"
`;
}

function fishScript(commands: readonly Command[]): string {
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = commands.flatMap((one) => [
    `complete -c vitrine -n __fish_use_subcommand -a ${one.name} -d ${quoted(one.summary)}`,
    ...(one.words === undefined
      ? []
      : [
          `complete -c vitrine -n '__fish_seen_subcommand_from ${one.name}; and not __fish_seen_subcommand_from ${one.words.join(' ')}' -a '${one.words.join(' ')}'`,
        ]),
    ...optionsOf(one).map(
      (option) => `complete -c vitrine -n '__fish_seen_subcommand_from ${one.name}' -l ${option.slice(2)}`,
    ),
  ]);
  return `${lines.join('\n')}\n`;
}

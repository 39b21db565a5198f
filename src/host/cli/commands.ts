// The commands of `vitrine`. To add one: a file that exports a `Command`, and a row here.

import { bellsCommand } from './bells-command.ts';
import { exportCommand, importCommand } from './bundle-command.ts';
import type { Command } from './command.ts';
import { completionsCommand } from './completions-command.ts';
import { consoleCommand } from './console-command.ts';
import { diffCommand } from './diff-command.ts';
import { forkCommand } from './fork-command.ts';
import { instrumentCommand } from './instrument-command.ts';
import { jobsCommand } from './jobs-command.ts';
import { logCommand, showCommand } from './log-command.ts';
import { lsCommand } from './ls-command.ts';
import { openCommand } from './open-command.ts';
import { peekCommand } from './peek-command.ts';
import { pokeCommand } from './poke-command.ts';
import { quickenCommand } from './quicken-command.ts';
import { checkpointCommand, resetCommand } from './reset-command.ts';
import { restoreCommand } from './restore-command.ts';
import { rewindCommand } from './rewind-command.ts';
import { gcCommand, rmCommand } from './rm-command.ts';
import { attachCommand, pauseCommand, resumeCommand, runCommand, stopCommand } from './run-command.ts';
import { saveCommand } from './save-command.ts';
import { serveCommand } from './serve-command.ts';
import { statusCommand } from './status-command.ts';
import { verifyCommand } from './verify-command.ts';

export const COMMANDS: readonly Command[] = [
  ...[serveCommand, openCommand],
  ...[runCommand, attachCommand, lsCommand, statusCommand, consoleCommand, bellsCommand],
  ...[pauseCommand, resumeCommand, stopCommand],
  ...[
    saveCommand,
    restoreCommand,
    checkpointCommand,
    resetCommand,
    quickenCommand,
    rewindCommand,
    forkCommand,
  ],
  ...[
    peekCommand,
    pokeCommand,
    diffCommand,
    logCommand,
    showCommand,
    verifyCommand,
    rmCommand,
    gcCommand,
    jobsCommand,
  ],
  ...[exportCommand, importCommand],
  ...[instrumentCommand, completionsCommand(() => COMMANDS)],
];

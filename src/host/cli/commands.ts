// The commands of `vitrine`. To add one: a file that exports a `Command`, and a row here.

import type { Command } from './command.ts';
import { instrumentCommand } from './instrument-command.ts';
import { openCommand } from './open-command.ts';
import { serveCommand } from './serve-command.ts';
import { verifyCommand } from './verify-command.ts';

export const COMMANDS: readonly Command[] = [serveCommand, openCommand, instrumentCommand, verifyCommand];

// `vitrine restore`: a machine is brought to a snapshot.

import { UsageError } from './command.ts';
import { countText, durationText } from './quantity.ts';
import { findSnapshot } from './snapshot-name.ts';
import { verbCommand } from './verb-command.ts';

const MODES = ['in-place', 'fresh', 'lazy'] as const;

export const restoreCommand = verbCommand({
  name: 'restore',
  summary: 'a machine goes back to a snapshot',
  help: `vitrine restore web 3f9a
vitrine restore web 'before the update' --fresh

A snapshot is named by its id, the first digits of it, or its label.

What the machine did since its last save is lost. When it fails, the machine runs on as it was. With --fresh or --lazy it also runs on until
the new process can; it ends first where the host has no room for both, or by its arguments one alone can have a port or file.

  --in-place            only pages that differ are written; this is what happens unless told otherwise
  --fresh               into a new process, also when the machine was stopped or lost
  --lazy                it runs at once, and its pages come when it asks for them
`,
  needs: 'machines',
  names: { least: 2, most: 2, what: 'the name of a machine and a snapshot' },
  options: { 'in-place': { type: 'boolean' }, fresh: { type: 'boolean' }, lazy: { type: 'boolean' } },
  async run({ client, names, values, work, result, say }) {
    const [name, wanted] = names as [string, string];
    const modes = MODES.filter((mode) => values[mode] === true);
    if (modes.length > 1)
      throw new UsageError(`choose one of ${modes.map((mode) => `--${mode}`).join(', ')}`);
    const [mode = 'in-place'] = modes;
    const snapshot = await findSnapshot(client, wanted, name);
    const report = await client.machine(name).restore(snapshot, { ...work, mode });
    result(report, '');
    if (mode === 'lazy') {
      say(`${name}: runs after ${durationText(report.totalMs)}; its memory comes as it asks for it`);
      return;
    }
    say(
      `${name}: ${countText(report.pagesWritten, 'page')} written; it rested ${durationText(report.pauseMs)}`,
    );
  },
});

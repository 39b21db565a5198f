// `vitrine ls`: the machines of a bridge.

import { textTable } from './text-table.ts';
import { verbCommand } from './verb-command.ts';

export const lsCommand = verbCommand({
  name: 'ls',
  summary: 'the machines of this host',
  help: `vitrine ls
vitrine ls --json

Lists machines: their state, the snapshot each goes on from, and what this user may do with it.

`,
  needs: 'machines',
  names: { least: 0, most: 0, what: 'no names' },
  async run({ client, result, say }) {
    const machines = await client.machines();
    const rows = machines.map(({ name, state, base, permissions }) => [
      name,
      state,
      base?.slice(0, 12) ?? '-',
      permissions.join(','),
    ]);
    result({ machines }, machines.length === 0 ? '' : textTable(['NAME', 'STATE', 'SNAPSHOT', 'MAY'], rows));
    if (machines.length === 0)
      say('No machines. Start one: vitrine run NAME --memory 512M -- -kernel vmlinuz');
  },
});

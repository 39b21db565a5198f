// `vitrine fork`: a new machine that goes on from a snapshot.

import { findSnapshot } from './snapshot-name.ts';
import { verbCommand } from './verb-command.ts';

export const forkCommand = verbCommand({
  name: 'fork',
  summary: 'a new machine goes on from a snapshot',
  help: `vitrine fork 3f9a web-2

Two machines of one snapshot hold the same random numbers, keys and addresses: do not let both face a network.

`,
  needs: 'machines',
  names: { least: 2, most: 2, what: 'a snapshot and a name' },
  async run({ client, names, work, result }) {
    const [snapshot, name] = names as [string, string];
    await client.fork(await findSnapshot(client, snapshot), name, work);
    result({ name }, `${name}\n`);
  },
});

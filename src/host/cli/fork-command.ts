// `vitrine fork`: a new machine that goes on from a snapshot.

import { findSnapshot } from './snapshot-name.ts';
import { verbCommand } from './verb-command.ts';

export const forkCommand = verbCommand({
  name: 'fork',
  summary: 'a new machine goes on from a snapshot',
  help: `vitrine fork 3f9a web-2

Two machines of one snapshot hold the same random numbers, keys and addresses: do not let both face a network. A Linux started with
"vitrine run --vmgenid" hears of it and makes its random numbers anew.

`,
  needs: 'machines',
  names: { least: 2, most: 2, what: 'a snapshot and a name' },
  async run({ client, names, work, result, say }) {
    const [wanted, name] = names as [string, string];
    const snapshot = await findSnapshot(client, wanted);
    const { config } = (await client.show(snapshot)).manifest.machine;
    await client.fork(snapshot, name, work);
    result({ name }, `${name}\n`);
    const hears = Object.keys(config).some((device) => device.startsWith('device.vmgenid@'));
    say(
      hears
        ? 'It hears of it (vmgenid) and makes its random numbers anew; keys and addresses are those of the snapshot.'
        : 'It holds the random numbers, keys and addresses of the snapshot, as each machine of it does: let only one face a network.',
    );
  },
});

// `vitrine checkpoint` and `vitrine reset`: a point in memory, and back to it as fast as what changed since can be written.

import { verbCommand } from './verb-command.ts';

export const checkpointCommand = verbCommand({
  name: 'checkpoint',
  summary: 'marks the point that "reset" goes back to',
  help: `vitrine checkpoint web && vitrine reset web

The point lies in the bridge's memory and is gone with the machine; a snapshot is what lasts.

`,
  needs: 'machines',
  names: { least: 1, most: 1, what: 'the name of a machine' },
  async run({ client, names: [name], result, say }) {
    const report = await client.machine(name!).checkpoint();
    result(report, '');
    say(`${name}: "vitrine reset ${name}" comes back here`);
  },
});

export const resetCommand = verbCommand({
  name: 'reset',
  summary: 'a machine goes back to its checkpoint, fast',
  help: `vitrine reset web
vitrine reset web 3f9a

Goes back to the checkpoint. With a snapshot: restores that one in place and makes it the checkpoint, so that each later
"reset" without one comes back to it.

`,
  needs: 'machines',
  names: { least: 1, most: 2, what: 'the name of a machine, and a snapshot if you like' },
  async run({ client, names: [name, snapshot], work, result, say }) {
    const machine = client.machine(name!);
    if (snapshot === undefined) {
      const report = await machine.reset();
      result(report, '');
      say(`${name}: ${report.pagesWritten} pages written`);
      return;
    }
    const restored = await machine.restore(snapshot, work);
    const checkpoint = await machine.checkpoint();
    result({ restored, checkpoint }, '');
    say(`${name}: ${restored.pagesWritten} pages written; "vitrine reset ${name}" comes back here`);
  },
});

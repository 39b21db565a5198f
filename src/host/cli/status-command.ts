// `vitrine status`: one machine in full.

import { factRows, trackingText } from '../../bridge/fact-rows.ts';
import { bellText } from './bells-command.ts';
import { bytesText, timeText } from './quantity.ts';
import { textList } from './text-table.ts';
import { verbCommand } from './verb-command.ts';

export const statusCommand = verbCommand({
  name: 'status',
  summary: 'one machine: its state, its memory, how it is saved',
  help: `vitrine status web
vitrine status web --json

Tells all that the bridge knows of a machine, also of one that does not run any more.

`,
  needs: 'machines',
  names: { least: 1, most: 1, what: 'the name of a machine' },
  async run({ client, names: [name], result }) {
    const status = await client.machine(name!).status();
    const { description, facts, base, head, lastBell } = status;
    const regions = (description?.regions ?? []).map(({ name, sizeBytes, guestAddress }) => {
      const at = guestAddress === null ? '' : ` at 0x${guestAddress.toString(16)}`;
      return `${name} ${bytesText(sizeBytes)}${at}`;
    });
    result(
      status,
      textList([
        ['name', status.name],
        ['state', status.state],
        ['based on', base ?? '-'],
        ['last snapshot', head ?? '-'],
        ...(description === null
          ? []
          : ([
              ['kind', `${description.kind} ${description.architecture}`],
              ['memory', regions.join(', ')],
              ['tracking', trackingText(description)],
            ] as const)),
        ...(lastBell == null
          ? []
          : [['last ring', `${timeText(lastBell.atMs)}, ${bellText(lastBell)}`] as const]),
        // Its regions say how much memory it has.
        ...factRows(facts, bytesText).filter(([name]) => name !== 'memory' || description === null),
      ]),
    );
  },
});

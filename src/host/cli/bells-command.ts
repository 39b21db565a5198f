// `vitrine bells`: what guests asked for by their doorbells, and what came of it.

import { isVitrineError } from '../../base/error.ts';
import type { BellInfo } from '../../bridge/bridge-client.ts';
import { timeText } from './quantity.ts';
import { verbCommand } from './verb-command.ts';

export const bellsCommand = verbCommand({
  name: 'bells',
  summary: 'what guests asked for by their doorbells, and what came of it',
  help: `vitrine bells
vitrine bells web --follow
vitrine bells web --follow --json | jq -r 'select(.answer == "saved") | .snapshot'

Lists the last rings, of one machine if it is named: when, whose, what was asked for, and what the guest read as an answer. Rings of one
kind within a second are one line with their number. "vitrine run --doorbell" says what a guest may ask for.

  --follow              goes on with each new ring, until Ctrl-C; with --json one object a line
`,
  needs: 'machines',
  names: { least: 0, most: 1, what: 'one machine or none' },
  options: { follow: { type: 'boolean' } },
  async run({ client, names: [machine], values, work, result, say }) {
    const of = machine === undefined ? {} : { machine };
    const line = (bell: BellInfo): string => `${timeText(bell.atMs)}  ${bell.machine}  ${bellText(bell)}\n`;
    if (values.follow !== true) {
      const bells = await client.bells(of);
      result({ bells }, bells.map(line).join(''));
      if (bells.length === 0) say('No rings.');
      return;
    }
    const { signal } = work;
    try {
      await client.followBells((bell) => result(bell, line(bell)), {
        ...of,
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      // Ctrl-C is how it ends.
      if (!isVitrineError(error, 'aborted')) throw error;
    }
  },
});

/** `save: saved 3f9a…`, `reset: refused, permission-denied, 12 times`. */
export function bellText({ asked, answer, code, snapshot, count }: BellInfo): string {
  const what = [answer, snapshot?.slice(0, 12)].filter((word) => word !== undefined).join(' ');
  const times = count === 1 ? [] : [`${count} times`];
  return `${asked ?? 'nothing known'}: ${[what, ...(code === null ? [] : [code]), ...times].join(', ')}`;
}

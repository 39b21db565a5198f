// `vitrine jobs`: what is under way on a host, and how to give it up.

import { timeText } from './quantity.ts';
import { textTable } from './text-table.ts';
import { verbCommand } from './verb-command.ts';

export const jobsCommand = verbCommand({
  name: 'jobs',
  summary: 'what is under way on this host, and what ended lately',
  help: `vitrine jobs
vitrine jobs --cancel 5b0c77…

Saves, restores and checks go on when whoever asked for them is gone.

  --cancel JOB          gives one up
`,
  needs: 'machines',
  names: { least: 0, most: 0, what: 'no names' },
  options: { cancel: { type: 'string' } },
  async run({ client, values, result, say }) {
    if (values.cancel !== undefined) {
      result(await client.cancelJob(String(values.cancel)), '');
      return;
    }
    const jobs = await client.jobs();
    const rows = jobs.map(({ id, verb, machine, state, startedAtMs, error }) => [
      id,
      timeText(startedAtMs),
      verb,
      machine ?? '-',
      state,
      error?.[0]?.code ?? '',
    ]);
    const heads = ['JOB', 'SINCE', 'VERB', 'MACHINE', 'STATE', 'ERROR'];
    result({ jobs }, jobs.length === 0 ? '' : textTable(heads, rows));
    if (jobs.length === 0) say('Nothing is under way.');
  },
});

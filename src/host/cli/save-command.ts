// `vitrine save`: a machine as it is now becomes a snapshot, whose id goes to standard output.

import { EFFORTS } from '../../format/frame-codecs.ts';
import { UsageError } from './command.ts';
import { bytesText, countText, durationText, readNumber } from './quantity.ts';
import { verbCommand } from './verb-command.ts';

export const saveCommand = verbCommand({
  name: 'save',
  summary: 'a machine as it is now becomes a snapshot',
  help: `vitrine save web --label "before the update"
id=$(vitrine save web) && vitrine restore web "$id"
vitrine save web --live --buffer 64M

Prints the snapshot's id. Ctrl-C gives it up, and nothing of it is kept.

  --label TEXT          what it is, for people
  --live                the machine runs on meanwhile, where it can
  --buffer SIZE         memory for pages that it writes meanwhile, with --live
  --effort LEVEL        none, fast, balanced or small: how much work goes into making it small;
                        fast when left out. none is for a disk that is faster than compression
  --full                without building on the last one
`,
  needs: 'machines',
  names: { least: 1, most: 1, what: 'the name of a machine' },
  options: {
    label: { type: 'string' },
    live: { type: 'boolean' },
    buffer: { type: 'string' },
    effort: { type: 'string' },
    full: { type: 'boolean' },
  },
  async run({ client, names: [name], values, work, result, say }) {
    const { label, live, buffer, effort: wanted, full } = values;
    const effort = EFFORTS.find((one) => one === wanted);
    if (wanted !== undefined && effort === undefined) {
      throw new UsageError(`--effort wants ${EFFORTS.join(', ')}`);
    }
    if (buffer !== undefined && live !== true) throw new UsageError('--buffer goes with --live');
    const bufferBytes = buffer === undefined ? undefined : readNumber(String(buffer), '--buffer');
    const report = await client.machine(name!).save({
      ...work,
      ...(label === undefined ? {} : { label: String(label) }),
      ...(effort === undefined ? {} : { effort }),
      ...(full === true ? { full } : {}),
      ...(live === true ? { live: bufferBytes === undefined ? {} : { bufferBytes } } : {}),
    });
    result(report, `${report.snapshot.id}\n`);
    const { pagesChanged, bytesWritten, pauseMs, totalMs, live: how } = report;
    say(
      `${name}: ${countText(pagesChanged, 'page')} changed, ${bytesText(bytesWritten)} written in ${durationText(totalMs)}; it rested ${durationText(pauseMs)}`,
    );
    if (how?.mode === 'stopped') say(`it did not run meanwhile: ${how.reason ?? 'it cannot be saved so'}`);
  },
});

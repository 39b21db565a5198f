// `vitrine rewind`: a machine's recent past, kept by the host. Its points are snapshots, so all other commands take them as well.

import { VitrineError } from '../../base/error.ts';
import { type Command, UsageError } from './command.ts';
import { bytesText, countText, durationText, readNumber, timeText } from './quantity.ts';
import { SNAPSHOT_DIGITS } from './snapshot-name.ts';
import { textTable } from './text-table.ts';
import { type VerbCall, verbCommand } from './verb-command.ts';

const DEFAULT_EVERY = '10s';
const DEFAULT_BUDGET = '512M';

type Verb = (call: VerbCall, machine: string, point: string | undefined) => Promise<void>;

/** What stands behind `rewind`, and whether it names a point. */
const VERBS: Readonly<Record<string, { readonly names: 'machine' | 'point'; readonly run: Verb }>> = {
  start: { names: 'machine', run: start },
  list: { names: 'machine', run: list },
  seek: { names: 'point', run: seek },
  resume: { names: 'machine', run: resume },
  bookmark: { names: 'point', run: bookmark },
  stop: { names: 'machine', run: stop },
};

export const rewindCommand: Command = verbCommand({
  name: 'rewind',
  summary: 'a machine’s recent past: kept, listed, gone back to',
  help: `vitrine rewind start web --every 10s --budget 512M
vitrine rewind list web
vitrine rewind bookmark web 3f9a --label 'before it broke'
vitrine rewind seek web 'before it broke' && vitrine peek web 0x1000 64 && vitrine rewind resume web
vitrine fork 3f9a other
vitrine rewind stop web

  start      has the host save the machine every so often, as long as it runs; again: another pace or budget
  list       the points, oldest first; * is where the machine goes on from
  seek       brings the machine to a point, by id or bookmark, and holds it there; while it is recorded, where it was is a point first
  resume     lets it go on from there; what it did after that stays in the list
  bookmark   gives a point a name: it is never thinned out
  stop       takes no more points; what there is stays

Saves take at most a tenth of the time: where they cost more, points come less often. When the budget is full old points get sparser,
and then the oldest go. It bounds what points add to the oldest one, which is a whole state, layers of disks among it. Points are
snapshots with the label "rewind": restore, diff, fork, export and rm take them. The next bridge on the store goes on with it.

  --every TIME          start: 500ms, 10s, 5m (${DEFAULT_EVERY})
  --budget SIZE         start: 64M, 2G (${DEFAULT_BUDGET})
  --label TEXT          bookmark: its name
  --drop                bookmark: it is none any more
  --forget              stop: the points go, but for bookmarks, and their space comes back
`,
  needs: 'machines',
  words: Object.keys(VERBS),
  names: {
    least: 2,
    most: 3,
    what: `what to do (${Object.keys(VERBS).join(', ')}), and the name of a machine`,
  },
  options: {
    every: { type: 'string' },
    budget: { type: 'string' },
    label: { type: 'string' },
    drop: { type: 'boolean' },
    forget: { type: 'boolean' },
  },
  async run(call) {
    const [what, machine, point] = call.names;
    const verb = Object.hasOwn(VERBS, what!) ? VERBS[what!] : undefined;
    if (verb === undefined) throw new UsageError(`rewind ${what}? It takes ${Object.keys(VERBS).join(', ')}`);
    if ((point !== undefined) !== (verb.names === 'point')) {
      throw new UsageError(
        verb.names === 'point'
          ? `rewind ${what} wants a machine and a point`
          : `rewind ${what} wants a machine`,
      );
    }
    await verb.run(call, machine!, point && (await snapshotOf(call, machine!, point)));
  },
});

/** A bookmark's name, or else an id or the beginning of one, which the host looks up. */
async function snapshotOf({ client }: VerbCall, machine: string, point: string): Promise<string> {
  const { points } = await client.machine(machine).rewindList();
  const named = points.filter(({ bookmark }) => bookmark === point).map(({ snapshot }) => snapshot);
  if (named.length > 1) throw new VitrineError('name-ambiguous', { bookmark: point, candidates: named });
  if (named.length === 0 && !SNAPSHOT_DIGITS.test(point)) {
    const bookmarks = points.flatMap(({ bookmark }) => bookmark ?? []);
    throw new VitrineError('not-found', { machine, bookmark: point, bookmarks });
  }
  return named[0] ?? point;
}

async function start({ client, values, result, say }: VerbCall, machine: string): Promise<void> {
  const everyMs = readTime(String(values.every ?? DEFAULT_EVERY));
  const budgetBytes = readNumber(String(values.budget ?? DEFAULT_BUDGET), '--budget');
  await client.machine(machine).rewindStart({ everyMs, budgetBytes });
  result({ machine, everyMs, budgetBytes }, '');
  say(`${machine}: a point every ${durationText(everyMs)}, within ${bytesText(budgetBytes)}`);
}

async function list({ client, result, say }: VerbCall, machine: string): Promise<void> {
  const past = await client.machine(machine).rewindList();
  const rows = past.points.map(({ snapshot, atMs, bytes, parent, isHere, bookmark }) => [
    isHere ? '*' : '',
    snapshot.slice(0, 12),
    timeText(atMs),
    bytesText(bytes),
    parent?.slice(0, 12) ?? '-',
    bookmark ?? '',
  ]);
  const heads = ['', 'POINT', 'TIME', 'ADDED', 'AFTER', 'BOOKMARK'];
  result(past, rows.length === 0 ? '' : textTable(heads, rows));
  const { isOn, everyMs, paceMs, budgetBytes, bytes, failure } = past;
  const asked = paceMs > everyMs ? `, not ${durationText(everyMs)}: saves may take a tenth of the time` : '';
  const pace = isOn ? `every ${durationText(paceMs)}${asked}` : 'no more are taken';
  say(
    rows.length === 0 && !isOn
      ? `No past. Keep one: vitrine rewind start ${machine}`
      : `${countText(rows.length, 'point')}, ${pace}; ${bytesText(bytes)} of ${bytesText(budgetBytes)}`,
  );
  if (failure !== null) say(`The last one failed: ${failure}`);
}

async function seek({ client, work, result, say }: VerbCall, machine: string, point?: string): Promise<void> {
  const report = await client.machine(machine).rewindSeek(point!, work);
  result(report, '');
  say(
    `${machine} is held there: ${countText(report.pagesWritten, 'page')} written. "vitrine rewind resume ${machine}" goes on`,
  );
}

async function resume({ client, result, say }: VerbCall, machine: string): Promise<void> {
  await client.machine(machine).rewindResume();
  result({ machine }, '');
  say(`${machine} goes on`);
}

async function bookmark(
  { client, values, result, say }: VerbCall,
  machine: string,
  point?: string,
): Promise<void> {
  const isDropped = values.drop === true;
  if (isDropped === (values.label !== undefined))
    throw new UsageError('rewind bookmark wants --label or --drop');
  const label = isDropped ? null : String(values.label);
  await client.machine(machine).rewindMark(point!, label);
  result({ machine, point, label }, '');
  say(isDropped ? 'It may be thinned out.' : 'It is kept.');
}

async function stop({ client, values, result, say }: VerbCall, machine: string): Promise<void> {
  const forget = values.forget === true;
  await client.machine(machine).rewindStop({ forget });
  result({ machine, forget }, '');
  say(forget ? `${machine}: its past is gone, but for bookmarks` : `${machine}: no more points are taken`);
}

/** `500ms`, `10s`, `5m`, `1h`, in milliseconds. Throws `UsageError`. */
function readTime(text: string): number {
  const match = /^(\d{1,7})(ms|s|m|h)$/.exec(text);
  if (match === null) throw new UsageError(`--every wants a time as 500ms, 10s or 5m, not "${text}"`);
  return Number(match[1]) * { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[match[2] as 'ms' | 's' | 'm' | 'h'];
}

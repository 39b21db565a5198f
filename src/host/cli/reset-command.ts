// `vitrine checkpoint` and `vitrine reset`: a point in memory, and back to it as fast as what changed since can be written.

import { isVitrineError, VitrineError } from '../../base/error.ts';
import { throwIfAborted } from '../../base/work.ts';
import { UsageError } from './command.ts';
import { countText } from './quantity.ts';
import { type Quickened, quickened } from './quicken-command.ts';
import { findSnapshot } from './snapshot-name.ts';
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
vitrine fork 3f9a fuzz && vitrine reset fuzz 3f9a --loop 1000

Goes back to the checkpoint. With a snapshot: restores that one in place and makes it the checkpoint, so that each later
"reset" without one comes back to it.

  --loop COUNT          so many times, the machine running in between, and says how many that is a second
  --stay                the machine stays in its process, whatever its resets take

Of a machine that stands on an image, as one that was forked does, only what it wrote is looked at; another one is compared as a whole.
So with --loop it moves first, unless told to stay, as "vitrine quicken" does.

`,
  options: { loop: { type: 'string' }, stay: { type: 'boolean' } },
  needs: 'machines',
  names: { least: 1, most: 2, what: 'the name of a machine, and a snapshot if you like' },
  async run({ client, names: [name, wanted], values, work, result, say }) {
    const machine = client.machine(name!);
    const snapshot = wanted && (await findSnapshot(client, wanted, name));
    const reset = () => machine.reset().catch((error: unknown) => Promise.reject(withHint(error, name!)));
    if (values.loop !== undefined) {
      const count = countOf(values.loop);
      if (snapshot !== undefined) {
        await machine.restore(snapshot, work);
        await machine.checkpoint();
      }
      // There is a point to go back to, and the image that it will stand on is that point.
      else if (values.stay !== true) await reset();
      const how = values.stay === true ? STAYS : await quickened(machine);
      // Of what it wrote before nothing is told: once, everything is looked at.
      if (how.moved) await reset();
      const report = { ...(await loop(reset, count, work.signal)), moved: how.moved };
      result(report, '');
      const { resets, perSecond, medianMs, pagesWritten } = report;
      say(
        `${name}: ${countText(resets, 'reset')}, ${perSecond.toFixed(0)} a second; median ${medianMs.toFixed(1)} ms, ${countText(pagesWritten, 'page')} written`,
      );
      if (how.said !== undefined) say(`${name}: ${how.said}`);
      return;
    }
    if (snapshot === undefined) {
      const report = await reset();
      result(report, '');
      say(`${name}: ${countText(report.pagesWritten, 'page')} written`);
      return;
    }
    const restored = await machine.restore(snapshot, work);
    const checkpoint = await machine.checkpoint();
    result({ restored, checkpoint }, '');
    say(
      `${name}: ${countText(restored.pagesWritten, 'page')} written; "vitrine reset ${name}" comes back here`,
    );
  },
});

const STAYS: Quickened = { moved: false, said: undefined };

/** A machine without a checkpoint: what to type to get one. */
function withHint(error: unknown, name: string): unknown {
  if (!isVitrineError(error, 'wrong-state') || error.data.required !== 'a checkpoint') return error;
  const hint = `vitrine checkpoint ${name}, or vitrine reset ${name} SNAPSHOT`;
  return new VitrineError('wrong-state', { ...error.data, hint }, { cause: error });
}

/** What a loop of resets came to. */
interface LoopReport {
  readonly resets: number;
  readonly perSecond: number;
  /** Of one reset, the way to the bridge and back included. */
  readonly medianMs: number;
  /** By all of them together. */
  readonly pagesWritten: number;
}

async function loop(
  reset: () => Promise<{ readonly pagesWritten: number }>,
  count: number,
  signal: AbortSignal | undefined,
): Promise<LoopReport> {
  const times: number[] = [];
  let pagesWritten = 0;
  const startMs = performance.now();
  for (let round = 0; round < count; round++) {
    throwIfAborted(signal);
    const fromMs = performance.now();
    pagesWritten += (await reset()).pagesWritten;
    times.push(performance.now() - fromMs);
  }
  const perSecond = count / ((performance.now() - startMs) / 1000);
  const medianMs = times.sort((a, b) => a - b)[count >> 1]!;
  return { resets: count, perSecond, medianMs, pagesWritten };
}

function countOf(value: unknown): number {
  const count = Number(value);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new UsageError(`--loop takes a number of resets, not ${value}`);
  return count;
}

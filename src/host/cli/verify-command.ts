// `vitrine verify`: every byte of snapshots proven by its digest; with --replay, also that a machine brought to one does
// the same each time.

import { parseArgs } from 'node:util';
import { type ErrorCode, isVitrineError, VitrineError } from '../../base/error.ts';
import { loadCodecs } from '../../codec/load.ts';
import { SNAPSHOT_REF_PREFIX } from '../../engine/snapshot.ts';
import type { ReplayVerdict } from '../../engine/verify-replay.ts';
import { openEngine, type Vitrine } from '../../engine/vitrine.ts';
import { loadKernels } from '../../kernel/load.ts';
import type { Store } from '../../store/store.ts';
import { type Command, type Output, type Surroundings, UsageError } from './command.ts';
import { openClient } from './open-client.ts';
import { openReplayable } from './open-replayable.ts';
import { countText } from './quantity.ts';
import { findSnapshot } from './snapshot-name.ts';
import { openStoreAt, storePlace } from './store-at.ts';

const HELP = `vitrine verify --all
vitrine verify --store DIR --all
vitrine verify --store DIR 3f9a
vitrine verify --store DIR 3f9a --replay --images .guests

Reads every object of snapshots and proves it by its digest. They are named by their ids, the first digits of them, or their labels.

  --store DIR           the folder of the store, or a bundle; without it the bridge that runs checks its own
  --bridge PORT         the bridge, by its port or origin, where several run
  --all                 every snapshot in it
  --replay              restores each twice into a machine of its own, runs on, and compares all that the machine holds;
                        for v86 with Pulse or the Linux of "npm run guests", the RP2040, and the
                        flat guest
  --images DIR          where the Linux images are, for --replay
  --steps N             how far --replay runs: instructions, or cycles of the RP2040; 10000000 when
                        left out
  --json                prints one JSON object
  -h, --help            this text

Exit code: 0 all is whole, 1 failed (vitrine: CODE: message), 2 the command line was not understood, 3 no such snapshot,
4 something is damaged or a replay differed, 7 --replay cannot open the machine.
`;

interface Row {
  readonly snapshot: string;
  readonly objectsRead: number;
  readonly damaged: readonly { readonly where: string; readonly object: string; readonly code: ErrorCode }[];
  readonly replay?: ReplayVerdict | { readonly unsupported: string };
}

export const verifyCommand: Command = {
  name: 'verify',
  summary: 'snapshots read and proven, byte by byte and by replay',
  help: HELP,
  run,
};

async function run(args: readonly string[], output: Output, surroundings: Surroundings): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      bridge: { type: 'string' },
      store: { type: 'string' },
      all: { type: 'boolean' },
      replay: { type: 'boolean' },
      images: { type: 'string' },
      steps: { type: 'string' },
      json: { type: 'boolean' },
    },
  });
  if (values.store === undefined && values.replay === true) {
    throw new UsageError('say with --store which folder it is, for --replay');
  }
  if (values.store !== undefined && values.bridge !== undefined) {
    throw new UsageError('--bridge or --store, not both');
  }
  if (positionals.length > 0 === (values.all === true)) {
    throw new UsageError('give snapshots, or --all');
  }
  const steps = values.steps === undefined ? undefined : Number(values.steps);
  if (steps !== undefined && !(Number.isSafeInteger(steps) && steps > 0)) {
    throw new UsageError('--steps takes a whole number');
  }
  if (values.store === undefined) {
    const rows = await verifyAtBridge(values.all ? undefined : positionals, values.bridge, surroundings);
    if (values.json) output.out(`${JSON.stringify({ snapshots: rows })}\n`);
    else for (const row of rows) output.out(lineOf(row));
    settle(rows);
    return;
  }
  const store = await openStoreAt(await storePlace(values.store));
  try {
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    const engine = await openEngine({ store, kernels, codecs });
    const ids = values.all ? await idsIn(store) : positionals;
    const rows: Row[] = [];
    for (const id of ids) {
      const row = await verifyOne(engine, id, { ...values, steps });
      rows.push(row);
      if (!values.json) output.out(lineOf(row));
    }
    if (values.json) output.out(`${JSON.stringify({ snapshots: rows })}\n`);
    settle(rows);
  } finally {
    await store.close();
  }
}

/** By the bridge that runs, or without one in this user's own store; `ids` of undefined are all that there are. */
async function verifyAtBridge(
  ids: readonly string[] | undefined,
  bridge: string | undefined,
  { environment, signal }: Surroundings,
): Promise<Row[]> {
  const { client, close } = await openClient({ needs: 'snapshots', bridge, environment });
  try {
    const rows: Row[] = [];
    for (const id of ids ?? (await client.log()).map((one) => one.id)) {
      const snapshot = await findSnapshot(client, id);
      const { objectsRead, damaged } = await client.verify(snapshot, { signal });
      // Safe: codes of this release, or of a later one, which are shown and nothing else.
      rows.push({ snapshot, objectsRead, damaged: damaged as unknown as Row['damaged'] });
    }
    return rows;
  } finally {
    await close();
  }
}

/** All of them, those included whose manifest is damaged. */
async function idsIn(store: Store): Promise<string[]> {
  const keys = await store.list(SNAPSHOT_REF_PREFIX);
  return keys.map((key) => key.slice(SNAPSHOT_REF_PREFIX.length)).sort();
}

async function verifyOne(
  engine: Vitrine,
  name: string,
  options: { readonly replay?: boolean; readonly images?: string; readonly steps: number | undefined },
): Promise<Row> {
  const shown = await findSnapshot(engine, name)
    .then((id) => engine.show(id))
    .catch((error: unknown) => {
      if (!isVitrineError(error) || !/^(object|format)-/.test(error.code)) throw error;
      return error.code;
    });
  if (typeof shown === 'string') {
    const damaged = [{ where: 'manifest', object: name, code: shown }];
    return { snapshot: name, objectsRead: 0, damaged };
  }
  const { id, manifest } = shown;
  const { objectsRead, damaged } = await engine.verify(id);
  const row = { snapshot: id, objectsRead, damaged };
  if (options.replay !== true || damaged.length > 0) return row;
  try {
    const guest = await openReplayable(manifest, options.images);
    try {
      const steps = options.steps === undefined ? {} : { steps: options.steps };
      return { ...row, replay: await engine.verifyByReplay(id, guest, steps) };
    } finally {
      await guest.close();
    }
  } catch (error) {
    if (!isVitrineError(error, 'unsupported') && !isVitrineError(error, 'guest-mismatch')) throw error;
    return { ...row, replay: { unsupported: error.message } };
  }
}

function lineOf({ snapshot, objectsRead, damaged, replay }: Row): string {
  const lines = damaged.map(({ where, object, code }) => `  ${where}: ${object} ${code}\n`);
  const whole = damaged.length === 0 ? 'whole' : `${damaged.length} damaged`;
  return `${snapshot.slice(0, 16)}  ${countText(objectsRead, 'object')}, ${whole}${replayText(replay)}\n${lines.join('')}`;
}

function replayText(replay: Row['replay']): string {
  if (replay === undefined) return '';
  if ('unsupported' in replay) return `; no replay: ${replay.unsupported}`;
  const { steps, difference } = replay;
  if (difference === null) return `; ${countText(steps, 'step')} run twice alike`;
  const when = difference.stage === 'restore' ? 'after the restore' : `within ${countText(steps, 'step')}`;
  return `; differs ${when}: ${difference.where}`;
}

/** What is wrong, as an error, for the exit code. */
function settle(rows: readonly Row[]): void {
  const damaged = rows.filter((row) => row.damaged.length > 0).length;
  if (damaged > 0) throw new VitrineError('object-damaged', { snapshots: damaged });
  for (const { snapshot, replay } of rows) {
    if (replay === undefined) continue;
    if ('unsupported' in replay)
      throw new VitrineError('guest-mismatch', { snapshot, reason: replay.unsupported });
    if (replay.difference === null) continue;
    throw new VitrineError('replay-diverged', { snapshot, ...replay.difference });
  }
}

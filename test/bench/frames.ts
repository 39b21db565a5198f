// For REWIND: a console of 60 frames a second, a Game Boy by boytacean with a point a frame. What a frame and its epoch take
// of the 16.7 ms together, at first and when the history is full and thins itself; and a frame back, as a rewind key asks for.

import { loadCodecs } from '../../src/codec/load.ts';
import { openBoytacean } from '../../src/guest/boytacean/boytacean.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openRewind } from '../../src/rewind/open-rewind.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { cartridge } from '../instrument/game-boy.ts';
import { boytaceanModule, loadBoytacean } from '../support/boytacean-loader.ts';
import { type BenchResult, median } from './row.ts';

const FRAME_MS = 1000 / 60;
const WARM_FRAMES = 200;
const FRAMES = 1500;
/** As many points as a history has; frames past it are thinned, one for each new one. */
const FULL = 2048;
const BACK = 120;

export async function gameBoyFrames(): Promise<{
  readonly results: BenchResult[];
  readonly notes: string[];
}> {
  const open = async () =>
    openBoytacean({ loader: await loadBoytacean(), module: boytaceanModule(), rom: cartridge() });
  const game = await open();
  const alone = await open();
  const tracker = await openScanTracker(game, { openKernels: () => loadKernels() });
  const rewind = await openRewind(tracker, { codecs: await loadCodecs() });
  const run = async (frames: number) => {
    const took = { alone: [] as number[], both: [] as number[], work: [] as number[], pause: [] as number[] };
    const { usedBytes } = rewind.stats();
    for (let frame = 0; frame < frames; frame++) {
      took.alone.push(await timed(() => alone.frame()));
      took.both.push(
        await timed(async () => {
          game.frame();
          await rewind.epoch();
        }),
      );
      const { lastWorkMs, lastPauseMs } = rewind.stats();
      took.work.push(lastWorkMs);
      took.pause.push(lastPauseMs);
    }
    return { ...took, bytes: (rewind.stats().usedBytes - usedBytes) / frames };
  };
  await run(WARM_FRAMES);
  const first = await run(FRAMES);
  await run(FULL - rewind.stats().points);
  const full = await run(FRAMES);
  const back: number[] = [];
  for (const { id } of rewind
    .points()
    .slice(-BACK - 1, -1)
    .reverse()) {
    back.push(await timed(() => rewind.seek(id)));
  }
  const { skippedBusy, skippedBehind } = rewind.stats().epochs;
  const pages = rewind.stats().lastPagesScanned;
  await tracker.close();
  await alone.close();
  return {
    results: [
      row(
        'Game Boy, a point a frame: frame and epoch, median',
        median(first.both),
        FRAME_MS,
        median(first.alone),
      ),
      row(
        'Game Boy: frame and epoch, 95 of 100',
        percentile(first.both, 0.95),
        FRAME_MS,
        percentile(first.alone, 0.95),
      ),
      row(
        'Game Boy, history full: frame and epoch, 95 of 100',
        percentile(full.both, 0.95),
        FRAME_MS,
        percentile(full.alone, 0.95),
      ),
      row('Game Boy: epoch alone, median', median(first.work)),
      row('Game Boy: pause of an epoch, median', median(first.pause)),
      row('Game Boy, history full: epoch alone, median', median(full.work)),
      row('Game Boy: a frame back, 95 of 100', percentile(back, 0.95), FRAME_MS),
      {
        name: 'Game Boy: bytes a frame',
        value: first.bytes,
        unit: 'bytes',
        better: 'lower',
        ours: first.bytes,
      },
    ],
    notes: [
      `Game Boy: boytacean with marks in Node; peer is the same frame without a history. An epoch looked at ${pages} pages; of ${WARM_FRAMES + 2 * FRAMES} and more epochs ${skippedBusy + skippedBehind} were left out. A full history has ${FULL} points and merges two for each new one.`,
    ],
  };
}

async function timed(work: () => unknown): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

function percentile(values: readonly number[], part: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * part)]!;
}

function row(name: string, value: number, goal?: number, peer?: number): BenchResult {
  return {
    ...{ name, value, unit: 'ms', better: 'lower', ours: value },
    ...(goal === undefined ? {} : { goal }),
    ...(peer === undefined ? {} : { peer }),
  };
}

// P5: what tracking costs a guest. Linux on v86 with 128 MiB: the unmodified program, ours with its marks taken every second
// and every 100 ms, and with its barrier armed for all of RAM, taking turns with the same work. And what
// instrumenting costs other programs.
//
// Linux is measured in processor time of its thread: of the 13 s of a boot it sleeps 4, by the clock on the wall, and medians
// of a few boots lie 10 % apart there. What the clock on the wall showed is in the notes.

import { SYSTEM_CLOCK } from '../../src/base/clock.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import { pageCountOf } from '../../src/memory/region.ts';
import { instrumentedResults } from './instrumented.ts';
import { bootLinux, hasLinux, inEpochs, type LinuxBench } from './linux.ts';
import { type BenchResult, type BenchRow, median, takeTurns } from './row.ts';
import { threadMs, threadTimeIs } from './thread-time.ts';

const ROUNDS = 7;
/** A boot takes so long that more would not fit into a row's five minutes. */
const BOOTS = 3;

/** What one turn took, in milliseconds. */
interface Turn {
  readonly threadMs: number;
  readonly wallMs: number;
}

const WORK: Readonly<Record<string, string>> = {
  'shell loop': 'i=0; while [ $i -lt 12000 ]; do i=$((i+1)); done',
  md5sum: 'dd if=/dev/zero bs=1M count=16 2>/dev/null | md5sum',
  gzip: 'dd if=/dev/zero bs=64k count=64 2>/dev/null | gzip | md5sum',
  mix: 'for i in $(seq 1 20); do /bin/true; done; seq 1 3000 | sort -rn | md5sum',
};

const SECOND = { name: 'epochs of 1 s', epochMs: 1000, goal: 1.03 };
const TENTH = { name: 'epochs of 100 ms', epochMs: 100, goal: 1.1 };
/** All pages awaited, a ring for all of them, and nobody who empties it: each first write copies a page. */
const ARMED = { name: 'barrier armed', epochMs: undefined, goal: 1.1 };

export async function run(): Promise<BenchRow> {
  const instrumented = await instrumentedResults();
  if (!hasLinux()) {
    return {
      row: 'P5',
      results: instrumented,
      notes: ['Linux is not measured: `npm run guests` has not been run.'],
    };
  }
  const walls: string[] = [];
  const boots = await measureBoots(walls);
  const plain = await bootLinux({ tracking: 'none' });
  const tracked = await bootLinux();
  const tracking = tracked.guest.traits.tracking;
  const results = [...instrumented, ...boots];
  const sums: Record<string, number> = { plain: 0, [SECOND.name]: 0, [TENTH.name]: 0, [ARMED.name]: 0 };
  const wallSums: Record<string, number> = { ...sums };
  for (const machine of [plain, tracked]) await machine.emulator.stop();
  for (const [name, command] of Object.entries(WORK)) {
    const turns: Record<string, Turn[]> = {};
    const noted = (key: string, turn: () => Promise<Turn>) => async () => {
      const taken = await turn();
      turns[key] ??= [];
      turns[key].push(taken);
      return taken.threadMs;
    };
    const ms: Record<string, number> = await takeTurns(ROUNDS, {
      plain: noted('plain', () => timed(plain, command)),
      [SECOND.name]: noted(SECOND.name, () => timed(tracked, command, SECOND.epochMs)),
      [TENTH.name]: noted(TENTH.name, () => timed(tracked, command, TENTH.epochMs)),
      [ARMED.name]: noted(ARMED.name, () => armed(tracked, () => timed(tracked, command))),
    });
    for (const key of Object.keys(sums)) {
      sums[key]! += ms[key]!;
      wallSums[key]! += median(turns[key]!.slice(1).map(({ wallMs }) => wallMs));
    }
    results.push(...ratios(name, ms));
  }
  results.push(...ratios('all work', sums));
  walls.push(wallNote('all work', wallSums));
  for (const { guest } of [plain, tracked]) await guest.close();
  return {
    row: 'P5',
    results,
    notes: [
      `Medians of ${ROUNDS} (boots: ${BOOTS}) in ms of ${threadTimeIs()}, the guests taking turns; tracking was by ${tracking}. The peer is the published program.`,
      ...walls,
      'With the barrier armed all pages are awaited, the ring has room for all, and nobody empties it.',
      'Instrumented programs: medians of 11, the map cleared before each turn. v86 needs no instrumenting: a hook is cheaper.',
    ],
  };
}

async function measureBoots(walls: string[]): Promise<BenchResult[]> {
  const ways: Record<string, Parameters<typeof bootLinux>[0]> = {
    plain: { tracking: 'none' },
    [SECOND.name]: { epochMs: SECOND.epochMs },
    [TENTH.name]: { epochMs: TENTH.epochMs },
  };
  const names = Object.keys(ways);
  const turns: Record<string, Turn[]> = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < BOOTS; round++) {
    // Each is once the first: what a process has compiled and collected by then differs.
    for (const index of names.keys()) {
      const name = names[(index + round) % names.length]!;
      const { guest, bootMs, bootThreadMs } = await bootLinux(ways[name]);
      await guest.close();
      turns[name]!.push({ threadMs: bootThreadMs, wallMs: bootMs });
    }
  }
  const medians = (part: keyof Turn) =>
    Object.fromEntries(names.map((name) => [name, median(turns[name]!.map((turn) => turn[part]))]));
  walls.push(wallNote('boot', medians('wallMs')));
  return ratios('boot', medians('threadMs'));
}

/** The same by the clock on the wall. */
function wallNote(work: string, ms: Readonly<Record<string, number>>): string {
  const others = Object.keys(ms).filter((name) => name !== 'plain');
  const told = others.map((name) => `${name} ${(ms[name]! / ms.plain!).toFixed(2)} x`);
  return `By the clock on the wall, ${work}: unmodified ${ms.plain!.toFixed(0)} ms, ${told.join(', ')}.`;
}

/** What a command takes; the machine is stopped before and after. */
async function timed({ emulator, guest, shell }: LinuxBench, command: string, epochMs?: number) {
  await emulator.run();
  const turn = await inEpochs(guest, epochMs, async () => {
    const [startMs, startThreadMs] = [performance.now(), threadMs()];
    await shell(command);
    return { threadMs: threadMs() - startThreadMs, wallMs: performance.now() - startMs };
  });
  await emulator.stop();
  return turn;
}

/** Runs `work` with the barrier armed for every page. */
async function armed({ guest }: LinuxBench, work: () => Promise<Turn>): Promise<Turn> {
  const barrier = guest.openBarrier({ ringBytes: guest.regions[0]!.sizeBytes, clock: SYSTEM_CLOCK });
  await guest.pause();
  barrier.arm(
    guest.regions.map((region) => PageSet.all(pageCountOf(region))),
    () => {},
  );
  await guest.resume();
  const turn = await work();
  barrier.close();
  return turn;
}

function ratios(work: string, ms: Readonly<Record<string, number>>): BenchResult[] {
  return [SECOND, TENTH, ARMED]
    .filter(({ name }) => name in ms)
    .map(({ name, goal }) => ({
      name: `${work}, ${name}, vs unmodified`,
      value: ms[name]! / ms.plain!,
      unit: 'x',
      better: 'lower',
      goal,
      ours: ms[name]!,
      peer: ms.plain!,
    }));
}

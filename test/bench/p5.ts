// P5: what tracking costs a guest. Linux on v86 with 128 MiB: the unmodified program, ours with its marks taken every second
// and every 100 ms, and with its barrier armed for all of RAM, taking turns with the same work. And what
// instrumenting costs other programs.

import { SYSTEM_CLOCK } from '../../src/base/clock.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import { pageCountOf } from '../../src/memory/region.ts';
import { instrumentedResults } from './instrumented.ts';
import { bootLinux, hasLinux, inEpochs, type LinuxBench } from './linux.ts';
import { type BenchResult, type BenchRow, median, takeTurns } from './row.ts';

const ROUNDS = 7;
/** A boot takes so long that more would not fit into a row's five minutes. */
const BOOTS = 3;

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
  const boots = await measureBoots();
  const plain = await bootLinux({ tracking: 'none' });
  const tracked = await bootLinux();
  const tracking = tracked.guest.traits.tracking;
  const results = [...instrumented, ...boots];
  const sums = { plain: 0, [SECOND.name]: 0, [TENTH.name]: 0, [ARMED.name]: 0 };
  for (const machine of [plain, tracked]) await machine.emulator.stop();
  for (const [name, command] of Object.entries(WORK)) {
    const ms = await takeTurns(ROUNDS, {
      plain: () => timed(plain, command),
      [SECOND.name]: () => timed(tracked, command, SECOND.epochMs),
      [TENTH.name]: () => timed(tracked, command, TENTH.epochMs),
      [ARMED.name]: () => armed(tracked, () => timed(tracked, command)),
    });
    for (const key of Object.keys(sums)) sums[key as keyof typeof sums]! += ms[key as keyof typeof ms]!;
    results.push(...ratios(name, ms as Record<string, number>));
  }
  results.push(...ratios('all work', sums));
  for (const { guest } of [plain, tracked]) await guest.close();
  return {
    row: 'P5',
    results,
    notes: [
      `Medians of ${ROUNDS} (boots: ${BOOTS}) in ms, the guests taking turns; tracking was by ${tracking}. The peer is the published program.`,
      'With the barrier armed all pages are awaited, the ring has room for all, and nobody empties it.',
      'Instrumented programs: medians of 11, the map cleared before each turn. v86 needs no instrumenting: a hook is cheaper.',
    ],
  };
}

async function measureBoots(): Promise<BenchResult[]> {
  const ms = { plain: [] as number[], [SECOND.name]: [] as number[], [TENTH.name]: [] as number[] };
  const boot = async (options: Parameters<typeof bootLinux>[0]) => {
    const { guest, bootMs } = await bootLinux(options);
    await guest.close();
    return bootMs;
  };
  for (let round = 0; round < BOOTS; round++) {
    ms.plain.push(await boot({ tracking: 'none' }));
    for (const { name, epochMs } of [SECOND, TENTH]) ms[name]!.push(await boot({ epochMs }));
  }
  return ratios('boot', Object.fromEntries(Object.entries(ms).map(([name, all]) => [name, median(all)])));
}

/** How long a command takes; the machine is stopped before and after. */
async function timed({ emulator, guest, shell }: LinuxBench, command: string, epochMs?: number) {
  await emulator.run();
  const ms = await inEpochs(guest, epochMs, async () => {
    const startMs = performance.now();
    await shell(command);
    return performance.now() - startMs;
  });
  await emulator.stop();
  return ms;
}

/** Runs `work` with the barrier armed for every page. */
async function armed({ guest }: LinuxBench, work: () => Promise<number>): Promise<number> {
  const barrier = guest.openBarrier({ ringBytes: guest.regions[0]!.sizeBytes, clock: SYSTEM_CLOCK });
  await guest.pause();
  barrier.arm(
    guest.regions.map((region) => PageSet.all(pageCountOf(region))),
    () => {},
  );
  await guest.resume();
  const ms = await work();
  barrier.close();
  return ms;
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

// P2: back to a point. A small WebAssembly guest: resets in a second, against a copy of its whole memory. Linux on v86 with
// 128 MiB: 10, 100 and 1,000 pages written, device state included, against its own restore_state and a full copy.

import { instantiateCaught } from '../../src/guest/wasm/catch-instance.ts';
import { WasmInstanceGuest } from '../../src/guest/wasm/wasm-instance.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { type FuzzTargetExports, fuzzTargetModule } from '../../src/testing/fuzz-target.ts';
import { fuzzExample } from '../../src/testing/index.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { askingGuest } from './doorbell.ts';
import { bootLinux, hasLinux } from './linux.ts';
import { type BenchResult, type BenchRow, median, mediansOf, seeded, takeTurns } from './row.ts';
import { javascriptGuest } from './rp2040.ts';

const LOOPS = 5_000;
const WASM_PAGE_BYTES = 65_536;
const PAGE_BYTES = 4096;
const ROUNDS = 9;

export async function run(): Promise<BenchRow> {
  const results = await smallGuest();
  const notes = [
    'The small guest is the fuzzing example’s: 128 KiB that are compared as a whole, 3 to 4 pages written by each run, two ' +
      'globals; a run is included on both sides. The full copy puts back memory and globals and knows nothing of changes.',
  ];
  const javascript = await javascriptGuest();
  results.push(...javascript.results);
  notes.push(...javascript.notes);
  const asking = await askingGuest();
  results.push(...asking.results);
  notes.push(...asking.notes);
  if (hasLinux()) {
    const linux = await linuxGuest();
    results.push(...linux.results);
    notes.push(...linux.notes);
  } else notes.push('v86 was not measured: `npm run guests` has not been run.');
  return { row: 'P2', results, notes };
}

async function smallGuest(): Promise<BenchResult[]> {
  const { exports, caught } = await instantiateCaught(
    fuzzTargetModule(),
    {},
    { maxMemoryBytes: 2 * WASM_PAGE_BYTES },
  );
  // Safe: the module exports just these.
  const target = exports as unknown as FuzzTargetExports;
  const guest = new WasmInstanceGuest(caught, { program: 'fuzz-target' });
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  const memory = (): Uint8Array => new Uint8Array(target.memory.buffer);
  memory().set([0x56, 0x54, 0x52, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 2, 4, 1, 2, 3, 4], 0x1000);
  await tracker.checkpoint();
  const globals = caught.internals.globals.map(
    ({ exportName }) => caught.instance.exports[exportName] as WebAssembly.Global,
  );
  const point = { memory: memory().slice(), globals: globals.map((global) => global.value) };
  const loop = (back: () => void) => () => {
    for (let i = 0; i < LOOPS; i++) {
      target.parse(19);
      back();
    }
  };
  const ms = await mediansOf(ROUNDS, {
    now: loop(() => tracker.resetNow()),
    promise: async () => {
      for (let i = 0; i < LOOPS; i++) {
        target.parse(19);
        await tracker.resetToCheckpoint();
      }
    },
    copy: loop(() => {
      memory().set(point.memory);
      for (const [index, global] of globals.entries()) global.value = point.globals[index];
    }),
  });
  await tracker.close();
  const perSecond = (one: number) => (LOOPS / one) * 1000;
  const fuzz = { host: [] as number[], program: [] as number[] };
  for (let seed = 1; seed <= 7; seed++) {
    for (const point of ['host', 'program'] as const) {
      fuzz[point].push((await fuzzExample({ seed, point })).resetsPerSecond);
    }
  }
  const result = (name: string, ours: number, peer?: number): BenchResult => ({
    name,
    value: ours,
    unit: '/s',
    better: 'higher',
    goal: 10_000,
    ours,
    ...(peer === undefined ? {} : { peer }),
  });
  return [
    result('small guest, resetNow vs full copy', perSecond(ms.now), perSecond(ms.copy)),
    result('small guest, a promise a reset', perSecond(ms.promise)),
    result('small guest, the fuzzing example', median(fuzz.host)),
    result('small guest, the fuzzing example, asked by its doorbell', median(fuzz.program)),
  ];
}

async function linuxGuest(): Promise<{ readonly results: BenchResult[]; readonly notes: string[] }> {
  const { emulator, guest, shell } = await bootLinux();
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  const results: BenchResult[] = [];
  const random = seeded(2);
  const notes: string[] = [];
  // Marks are believed only after some scans that found changes.
  for (let round = 0; round < 6; round++) {
    await shell('echo again');
    await tracker.checkpoint();
  }
  await emulator.stop();
  await tracker.checkpoint();
  const state = await emulator.save_state();
  await guest.pause();
  const ram = guest.view(0)!.slice();
  const devices = guest.saveDevices();
  await guest.resume();
  const { tier } = await tracker.describe();
  const spoil = async (count: number): Promise<void> => {
    await guest.pause();
    const bytes = new Uint8Array(PAGE_BYTES);
    for (let i = 0; i < count; i++) {
      bytes.fill(random());
      // Above the kernel, spread over all of RAM.
      const offsetBytes = (4096 + (random() % (ram.length / PAGE_BYTES - 4096))) * PAGE_BYTES;
      guest.writePages({ region: 0, offsetBytes, lengthBytes: PAGE_BYTES }, bytes);
    }
    await guest.resume();
  };
  const timed = (count: number, back: () => Promise<unknown>) => async () => {
    // The peers write all of RAM, after which all of it would be looked at.
    await tracker.resetToCheckpoint();
    await spoil(count);
    const startMs = performance.now();
    await back();
    return performance.now() - startMs;
  };
  for (const count of [10, 100, 1000]) {
    const ms = await takeTurns(ROUNDS, {
      ours: timed(count, () => tracker.resetToCheckpoint()),
      own: timed(count, () => emulator.restore_state(state)),
      copy: timed(count, async () => {
        await guest.pause();
        guest.writePages({ region: 0, offsetBytes: 0, lengthBytes: ram.length }, ram);
        guest.loadDevices(devices);
        await guest.resume();
      }),
    });
    results.push(
      {
        name: `v86, ${count} pages written (${tier})`,
        value: ms.ours,
        unit: 'ms',
        better: 'lower',
        goal: 1.5,
        ours: ms.ours,
      },
      ratio(`v86, ${count} pages (ms) vs restore_state`, ms.ours, ms.own, 50),
      ratio(`v86, ${count} pages (ms) vs full copy`, ms.ours, ms.copy),
    );
  }
  // The guest itself, so that a reset that were quick and wrong would show.
  const own: number[] = [];
  const pages: number[] = [];
  await emulator.run();
  await shell('echo warm');
  await tracker.checkpoint();
  for (let round = 0; round < ROUNDS; round++) {
    const answer = await shell('seq 1 200 | md5sum');
    if (!answer.includes('-')) throw new Error(`the guest is not itself: ${answer}`);
    const startMs = performance.now();
    const report = await tracker.resetToCheckpoint();
    own.push(performance.now() - startMs);
    pages.push(report.pagesWritten);
  }
  results.push({
    name: `v86, after a shell command (${tier})`,
    value: median(own),
    unit: 'ms',
    better: 'lower',
    ours: median(own),
  });
  notes.push(
    `v86 finds written pages by ${tier}. Pages are written at random places of RAM while the guest is stopped; the guest ` +
      `does not run between two resets, but for the shell command, after which ${median(pages)} pages differ (median).`,
  );
  await tracker.close();
  return { results, notes };
}

function ratio(name: string, ours: number, peer: number, goal?: number): BenchResult {
  const bound = goal === undefined ? {} : { goal };
  return { name, value: peer / ours, unit: 'x', better: 'higher', ours, peer, ...bound };
}

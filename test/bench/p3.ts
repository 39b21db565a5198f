// P3: an incremental save after a shell command, Linux on v86 with 128 MiB; against v86's own save_state, alone and with
// zstd -1, of the same instants.

import type { Effort } from '../../src/format/frame-codecs.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openVitrine } from '../../src/open-vitrine.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { savesOfFreedMemory } from './free-pages.ts';
import { bootLinux, hasLinux } from './linux.ts';
import { type BenchRow, median } from './row.ts';
import { hasZstd, zstdSize } from './zstd.ts';

const ROUNDS = 9;
/** Saves until the guest's marks are believed, and one more. */
const PROVING = 4;
/** Saves after which the code is compiled, as it is for whoever saves all day. */
const USUAL = 50;
const KIB = 1024;

const COMMANDS = [
  'ls -la /bin | sort | tail -1',
  'ps',
  'echo hello > /tmp/file; cat /tmp/file',
  'for i in $(seq 1 20); do /bin/true; done',
  'seq 1 500 | md5sum',
];

interface Sides {
  readonly ours: Readonly<Record<'ms' | 'pauseMs' | 'bytes' | 'pages', readonly number[]>>;
  readonly peer: Readonly<Record<'ms' | 'zstdMs' | 'bytes' | 'zstdBytes', readonly number[]>>;
}

export async function run(): Promise<BenchRow> {
  if (!hasLinux())
    return { row: 'P3', results: [], notes: ['Not measured: `npm run guests` has not been run.'] };
  const { emulator, guest, shell } = await bootLinux();
  const withZstd = hasZstd();
  const engine = await openVitrine({ store: openMemoryStore() });
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  const machine = engine.adopt('linux', tracker);
  const full = await machine.save();
  // While the marks are proven each save looks at all pages, as without marks: what that costs is a row of its own.
  const proving = { ms: [] as number[], pauseMs: [] as number[] };
  for (let round = 0; round < PROVING; round++) {
    await shell(COMMANDS[round % COMMANDS.length]!);
    const startMs = performance.now();
    const { pauseMs } = await machine.save();
    proving.ms.push(performance.now() - startMs);
    proving.pauseMs.push(pauseMs);
  }
  const { tier, tierReason } = await tracker.describe();
  const sides = async (effort: Effort): Promise<Sides> => {
    const ours = {
      ms: [] as number[],
      pauseMs: [] as number[],
      bytes: [] as number[],
      pages: [] as number[],
    };
    const peer = {
      ms: [] as number[],
      zstdMs: [] as number[],
      bytes: [] as number[],
      zstdBytes: [] as number[],
    };
    for (let round = 0; round <= ROUNDS; round++) {
      await shell(COMMANDS[round % COMMANDS.length]!);
      await emulator.stop();
      const startMs = performance.now();
      const report = await machine.save({ effort });
      const savedMs = performance.now();
      const state = await emulator.save_state();
      const stateMs = performance.now();
      const packed = withZstd ? zstdSize(new Uint8Array(state), 1) : { bytes: Number.NaN, ms: Number.NaN };
      await emulator.run();
      // The first round pays for growing memory, on both sides.
      if (round === 0) continue;
      ours.ms.push(savedMs - startMs);
      ours.pauseMs.push(report.pauseMs);
      ours.bytes.push(report.bytesWritten);
      ours.pages.push(report.pagesChanged);
      peer.ms.push(stateMs - savedMs);
      peer.zstdMs.push(stateMs - savedMs + packed.ms);
      peer.bytes.push(state.byteLength);
      peer.zstdBytes.push(packed.bytes);
    }
    return { ours, peer };
  };
  const { ours, peer } = await sides('fast');
  for (let round = 0; round < USUAL; round++) {
    await shell(COMMANDS[round % COMMANDS.length]!);
    await machine.save();
  }
  const usual = await sides('fast');
  const balanced = await sides('balanced');
  await guest.close();
  const freed = await savesOfFreedMemory();
  const [ms, bytes] = [median(ours.ms), median(ours.bytes)];
  const ratio = (name: string, unitOurs: number, unitPeer: number, goal: number) =>
    ({
      name,
      value: unitPeer / unitOurs,
      unit: 'x',
      better: 'higher',
      goal,
      ours: unitOurs,
      peer: unitPeer,
    }) as const;
  return {
    row: 'P3',
    results: [
      ratio('time (ms) vs v86 save_state', ms, median(peer.ms), 50),
      ratio('bytes vs v86 save_state', bytes, median(peer.bytes), 500),
      ...(withZstd
        ? [
            ratio('time (ms) vs v86 save_state + zstd -1', ms, median(peer.zstdMs), 50),
            ratio('bytes vs v86 save_state + zstd -1', bytes, median(peer.zstdBytes), 500),
            ratio(
              'bytes vs v86 save_state + zstd -1, effort balanced',
              median(balanced.ours.bytes),
              median(balanced.peer.zstdBytes),
              500,
            ),
          ]
        : []),
      ratio(
        `time (ms) vs v86 save_state, after ${USUAL} saves`,
        median(usual.ours.ms),
        median(usual.peer.ms),
        50,
      ),
      {
        name: `pause by ${tier}, after ${USUAL} saves`,
        value: median(usual.ours.pauseMs),
        unit: 'ms',
        better: 'lower',
        goal: tier === 'scan' ? 20 : 2,
        ours: median(usual.ours.pauseMs),
      },
      {
        name: `pause by ${tier}, devices included`,
        value: median(ours.pauseMs),
        unit: 'ms',
        better: 'lower',
        goal: tier === 'scan' ? 20 : 2,
        ours: median(ours.pauseMs),
      },
      {
        name: 'pause by scan, as the first saves have it',
        value: median(proving.pauseMs.slice(0, PROVING - 1)),
        unit: 'ms',
        better: 'lower',
        goal: 20,
        ours: median(proving.pauseMs.slice(0, PROVING - 1)),
      },
      ...freed.results,
    ],
    notes: [
      `128 MiB of RAM, ${ROUNDS} commands; a median of ${median(ours.pages)} pages changed, ${Math.round(bytes / KIB)} KiB written; ` +
        `the first, full save took ${Math.round(full.totalMs)} ms and ${Math.round(full.bytesWritten / KIB)} KiB.`,
      `Changed pages are found by ${tier}${tierReason === undefined ? '' : ` (${tierReason})`}; the first saves compare all of RAM to prove the marks, and took ${Math.round(median(proving.ms.slice(0, PROVING - 1)))} ms. ` +
        `The rest of the time is encoding and digests. Both sides keep the result in memory. Rows without more are of saves 6 to 14, in which much of our code runs uncompiled; balanced ones took ${median(balanced.ours.ms).toFixed(1)} ms.`,
      ...freed.notes,
    ],
  };
}

// P3: an incremental save after a shell command, Linux on v86 with 128 MiB; against v86's own save_state, alone and with
// zstd -1, of the same instants.

import { loadKernels } from '../../src/kernel/load.ts';
import { openVitrine } from '../../src/open-vitrine.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { bootLinux, hasLinux } from './linux.ts';
import { type BenchRow, median } from './row.ts';
import { hasZstd, zstdSize } from './zstd.ts';

const ROUNDS = 9;
const KIB = 1024;

const COMMANDS = [
  'ls -la /bin | sort | tail -1',
  'ps',
  'echo hello > /tmp/file; cat /tmp/file',
  'for i in $(seq 1 20); do /bin/true; done',
  'seq 1 500 | md5sum',
];

export async function run(): Promise<BenchRow> {
  if (!hasLinux())
    return { row: 'P3', results: [], notes: ['Not measured: `npm run guests` has not been run.'] };
  const { emulator, guest, shell } = await bootLinux();
  const withZstd = hasZstd();
  const engine = await openVitrine({ store: openMemoryStore() });
  const machine = engine.adopt('linux', await openScanTracker(guest, { openKernels: () => loadKernels() }));
  const full = await machine.save();
  const ours = { ms: [] as number[], pauseMs: [] as number[], bytes: [] as number[], pages: [] as number[] };
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
    const report = await machine.save();
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
  await guest.close();
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
          ]
        : []),
      {
        name: 'pause by scan',
        value: median(ours.pauseMs),
        unit: 'ms',
        better: 'lower',
        goal: 20,
        ours: median(ours.pauseMs),
      },
    ],
    notes: [
      `128 MiB of RAM, ${ROUNDS} commands; a median of ${median(ours.pages)} pages changed, ${Math.round(bytes / KIB)} KiB written; ` +
        `the first, full save took ${Math.round(full.totalMs)} ms and ${Math.round(full.bytesWritten / KIB)} KiB.`,
      'Changed pages are found by scan: one read of RAM is the limit of both time and pause here. Both sides keep the result in memory.',
    ],
  };
}

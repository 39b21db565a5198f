// REWIND: what a recorded past costs. A Game Boy with a point a frame (frames.ts). Linux on v86 with 128 MiB at work, an epoch a second and ten a second: the guest's time
// and the bytes of each; how much slower a shell gets; and what others do at each epoch, the emulator's own state, whole or as
// the XOR of two in a row, compressed.

import { loadCodecs } from '../../src/codec/load.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { EpochTimer } from '../../src/rewind/epoch-timer.ts';
import { openRewind } from '../../src/rewind/open-rewind.ts';
import type { Rewind } from '../../src/rewind/rewind.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { gameBoyFrames } from './frames.ts';
import { bootLinux, hasLinux, type LinuxBench } from './linux.ts';
import { type BenchResult, type BenchRow, median, takeTurns } from './row.ts';

const EPOCHS = 12;
const STATES = 3;
const ROUNDS = 7;
const FRAME_BYTES = 65_536;
const FRAME_MS = 16.7;
const LOOP = 'i=0; while [ $i -lt 12000 ]; do i=$((i+1)); done';

/** What the shell does over and over; null for nothing. */
const WORK: Readonly<Record<string, string | null>> = {
  idle: null,
  typing: 'echo a line that somebody typed > /dev/null',
  'ls+ps': 'ls -la /bin /etc > /dev/null; ps > /dev/null',
  sort: 'seq 1 3000 | sort -n | md5sum > /dev/null',
  random: 'dd if=/dev/urandom of=/tmp/noise bs=64k count=16 2>/dev/null',
};

export async function run(): Promise<BenchRow> {
  const frames = await gameBoyFrames();
  if (!hasLinux()) {
    const notes = [...frames.notes, 'Linux not measured: `npm run guests` has not been run.'];
    return { row: 'REWIND', results: frames.results, notes };
  }
  const machine = await bootLinux();
  const tracker = await openScanTracker(machine.guest, { openKernels: () => loadKernels() });
  const codecs = await loadCodecs();
  const peer = await measurePeer(machine);
  const rewind = await openRewind(tracker, { codecs });
  const results: BenchResult[] = [];
  // The first epochs with changes compare everything, to prove the marks.
  for (let proof = 0; proof < 5; proof++) {
    await machine.shell('ls > /dev/null');
    await rewind.epoch();
  }
  for (const [name, command] of Object.entries(WORK)) {
    for (const epochMs of [1000, 100]) {
      results.push(...(await measureWork(machine, rewind, { name, command, epochMs, peer })));
    }
  }
  results.push(...(await measureFrames(machine, rewind)));
  results.push(...(await measureSlowdown(machine, rewind)));
  results.push(...(await measureSeeks(rewind)));
  const { longestPauseMs } = rewind.stats();
  await machine.guest.close();
  return {
    row: 'REWIND',
    results: [...results, ...frames.results],
    notes: [
      `128 MiB of RAM, changed pages by marks; medians of ${EPOCHS} epochs; work is the guest's time of an epoch: its rest, and encoding in the same thread. Longest rest ${longestPauseMs.toFixed(1)} ms, with the scans that prove the marks.`,
      `Peer of work and bytes: v86 save_state, XORed with the one before and compressed by LZ4 in frames of 64 KiB, as emulators with a rewind of whole states do; save_state alone took ${peer.saveMs.toFixed(0)} ms and ${(peer.stateBytes / 2 ** 20).toFixed(0)} MiB. Its state packs the pages in use, so that one page more or less shifts those after it.`,
      'Slower: a shell loop with ten epochs a second and sixty, against none; a timer leaves epochs out where they would take more than a tenth of the time.',
      ...frames.notes,
    ],
  };
}

interface Peer {
  readonly saveMs: number;
  readonly workMs: number;
  readonly bytes: number;
  readonly stateBytes: number;
}

/** A whole state at each epoch, XORed and compressed. */
async function measurePeer({ emulator, shell }: LinuxBench): Promise<Peer> {
  const codecs = await loadCodecs();
  const saveMs: number[] = [];
  const workMs: number[] = [];
  const bytes: number[] = [];
  let before = new Uint8Array(await emulator.save_state());
  for (let state = 0; state < STATES; state++) {
    await shell('ls > /dev/null');
    const startMs = performance.now();
    const now = new Uint8Array(await emulator.save_state());
    saveMs.push(performance.now() - startMs);
    const length = Math.max(before.length, now.length);
    const delta = new Uint8Array(length);
    delta.set(now);
    const [a, b] = [
      new Uint32Array(delta.buffer, 0, before.length >>> 2),
      new Uint32Array(before.buffer, 0, before.length >>> 2),
    ];
    for (let i = 0; i < b.length; i++) a[i]! ^= b[i]!;
    let size = 0;
    for (let at = 0; at < length; at += FRAME_BYTES) {
      size += codecs.encodeSmallest(delta.subarray(at, at + FRAME_BYTES), 'fast').bytes.length;
    }
    workMs.push(performance.now() - startMs);
    bytes.push(size);
    before = now;
  }
  return { saveMs: median(saveMs), workMs: median(workMs), bytes: median(bytes), stateBytes: before.length };
}

async function measureWork(
  machine: LinuxBench,
  rewind: Rewind,
  { name, command, epochMs, peer }: { name: string; command: string | null; epochMs: number; peer: Peer },
): Promise<BenchResult[]> {
  let isEnded = false;
  const working = (async () => {
    while (!isEnded && command !== null) await machine.shell(command);
  })();
  const workMs: number[] = [];
  const pauseMs: number[] = [];
  const bytes: number[] = [];
  await rewind.epoch();
  for (let epoch = 0; epoch < EPOCHS; epoch++) {
    await new Promise((next) => setTimeout(next, epochMs));
    const { usedBytes } = rewind.stats();
    await rewind.epoch();
    const after = rewind.stats();
    workMs.push(after.lastWorkMs);
    pauseMs.push(after.lastPauseMs);
    bytes.push(Math.max(0, after.usedBytes - usedBytes));
  }
  isEnded = true;
  await working;
  const every = `${name}, epochs of ${epochMs === 1000 ? '1 s' : `${epochMs} ms`}`;
  return [
    { ...row(`${every}: work`, median(workMs), 'ms'), peer: peer.workMs },
    row(`${every}: pause`, median(pauseMs), 'ms'),
    { ...row(`${every}: bytes`, median(bytes), 'bytes'), peer: peer.bytes },
  ];
}

/** An epoch a frame at 60 Hz: what is left of the 16.7 ms is the guest's. */
async function measureFrames({ shell }: LinuxBench, rewind: Rewind): Promise<BenchResult[]> {
  const workMs: number[] = [];
  let isEnded = false;
  const working = shell(LOOP).finally(() => {
    isEnded = true;
  });
  while (!isEnded) {
    await new Promise((next) => setTimeout(next, FRAME_MS));
    if ((await rewind.epoch()) === 'taken') workMs.push(rewind.lastWorkMs);
  }
  await working;
  const sorted = workMs.sort((a, b) => a - b);
  return [
    row('an epoch a frame: work, median', median(workMs), 'ms'),
    {
      ...row('an epoch a frame: work, 95 of 100', sorted[Math.floor(sorted.length * 0.95)]!, 'ms'),
      goal: FRAME_MS,
    },
  ];
}

/** From the newest point to the oldest and back, then point by point. */
async function measureSeeks(rewind: Rewind): Promise<BenchResult[]> {
  const points = rewind.points();
  const [oldest, newest] = [points[0]!, points.at(-1)!];
  const far: number[] = [];
  const near: number[] = [];
  const timed = async (into: number[], id: number): Promise<void> => {
    const startMs = performance.now();
    await rewind.seek(id);
    into.push(performance.now() - startMs);
  };
  for (let round = 0; round < ROUNDS; round++) {
    await timed(far, oldest.id);
    await timed(far, newest.id);
  }
  for (let back = 2; back < 2 + 2 * ROUNDS; back++) await timed(near, points.at(-back)!.id);
  await rewind.resume();
  return [
    row(`seek across ${points.length} points`, median(far), 'ms'),
    row('seek to the neighbouring point', median(near), 'ms'),
  ];
}

/** The same loop with and without epochs, taking turns. */
async function measureSlowdown({ shell }: LinuxBench, rewind: Rewind): Promise<BenchResult[]> {
  const timed = async (epochMs: number | null): Promise<number> => {
    const timer = epochMs === null ? null : new EpochTimer(rewind, { epochMs });
    const startMs = performance.now();
    await shell(LOOP);
    timer?.stop();
    return performance.now() - startMs;
  };
  const ms = await takeTurns(ROUNDS, {
    none: () => timed(null),
    ten: () => timed(100),
    sixty: () => timed(FRAME_MS),
  });
  return [
    {
      ...row('shell loop, 10 epochs a second, vs none', ms.ten / ms.none, 'x'),
      goal: 1.1,
      ours: ms.ten,
      peer: ms.none,
    },
    {
      ...row('shell loop, 60 epochs a second, vs none', ms.sixty / ms.none, 'x'),
      ours: ms.sixty,
      peer: ms.none,
    },
  ];
}

function row(name: string, value: number, unit: string): BenchResult {
  return { name, value, unit, better: 'lower', ours: value };
}

// P4: live capture of a guest that does nothing but write: a word of each of its pages, round after round, on v86. Before each
// capture it has written all its memory anew, so that all of it is awaited. Against stopping it for a copy (ours without
// `live`), and v86's own save_state. Work done during a capture is compared with the same time without one before it.

import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { V86 } from 'v86';
import { type Clock, SYSTEM_CLOCK } from '../../src/base/clock.ts';
import { adoptV86, trackedWasmFn, type V86Guest } from '../../src/guest/v86/index.ts';
import { HARD_WRITER, hardWriter } from '../../src/host/qemu/hard-writer.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import type { Emulator } from './linux.ts';
import { type BenchResult, type BenchRow, median } from './row.ts';

const MIB = 2 ** 20;
const PAGE_BYTES = 4096;
const ROUNDS = 7;
const SIZES_MIB = [64, 128, 256, 512];
/** Rings, as parts of RAM. */
const RINGS = { 'no ring': 0, 'ring 1 %': 0.01, 'ring 10 %': 0.1, 'ring 100 %': 1 } as const;
const GOAL_MS = 1;

/**
 * Milliseconds of this process's processor time. On a machine that is busy with something else, what the clock on the wall
 * shows for a wait of half a millisecond is who else had the processor meanwhile.
 */
const PROCESSOR_CLOCK: Clock = {
  nowMs: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
  wallMs: () => Date.now(),
};
/** Above that many processes that want to run, others are among them. */
const BUSY_LOAD = 1.5;

interface Machine {
  readonly memoryMiB: number;
  readonly clock: Clock;
  readonly emulator: Emulator;
  readonly guest: V86Guest;
  readonly tracker: ScanTracker;
  /** Pages written since it was started. */
  readonly work: () => number;
  /** Bytes of the program's memory. */
  readonly programBytes: () => number;
}

interface Seen {
  readonly pauseMs: number[];
  readonly stallMs: number[];
  readonly totalStallMs: number[];
  readonly captureMs: number[];
  readonly slowDown: number[];
  readonly aside: number[];
  readonly spilled: number[];
  readonly peakRingBytes: number[];
  grownBytes: number;
}

export async function run(): Promise<BenchRow> {
  const results: BenchResult[] = [];
  const isBusy = loadavg()[0]! > BUSY_LOAD;
  const clock = isBusy ? PROCESSOR_CLOCK : SYSTEM_CLOCK;
  const notes = [
    `Medians of ${ROUNDS}, the captures of one guest taking turns. A stall is anything the guest waits for beside the pause: ` +
      'slices of half a millisecond of the thread that it shares with the saver, and writes that find the ring full.',
    'Slow-down: work in the same time without a capture / work during the capture. For comparison, a guest that is stopped does ' +
      'none for as long as its pause.',
    "QEMU's background-snapshot, which does the like by page faults of its process, is not measured here.",
    isBusy
      ? 'The machine was busy with other work, so times are processor time of this process, not of the clock on the wall.'
      : 'Times are of the clock on the wall.',
  ];
  for (const memoryMiB of SIZES_MIB) {
    const machine = await open(memoryMiB, clock);
    const seen: Record<string, Seen> = {};
    const stopped = { ms: [] as number[], stateMs: [] as number[] };
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [name, part] of Object.entries(RINGS)) {
        seen[name] ??= {
          pauseMs: [],
          stallMs: [],
          totalStallMs: [],
          captureMs: [],
          slowDown: [],
          aside: [],
          spilled: [],
          peakRingBytes: [],
          grownBytes: 0,
        };
        await live(machine, part, seen[name], { counts: round > 0 });
      }
      await writeAll(machine);
      const { pauseMs } = await machine.tracker.capture({ full: false });
      await machine.tracker.commit();
      if (round > 0) stopped.ms.push(pauseMs);
      if (round === 0 || round > 3) continue;
      await machine.emulator.stop();
      const startMs = machine.clock.nowMs();
      await machine.emulator.save_state();
      stopped.stateMs.push(machine.clock.nowMs() - startMs);
      await machine.emulator.run();
    }
    results.push(...resultsOf(machine, seen, median(stopped.ms), median(stopped.stateMs)));
    notes.push(...Object.entries(seen).map(([name, one]) => noteOf(memoryMiB, name, one)));
    await machine.tracker.close();
  }
  return { row: 'P4', results, notes };
}

/** One live capture, with the work done in as long a time before it. */
async function live(
  machine: Machine,
  part: number,
  seen: Seen,
  { counts }: { readonly counts: boolean },
): Promise<void> {
  const { tracker, memoryMiB } = machine;
  await writeAll(machine);
  const usualFrom = machine.work();
  const usualStartMs = machine.clock.nowMs();
  await writeAll(machine);
  const usualMs = machine.clock.nowMs() - usualStartMs;
  const usual = machine.work() - usualFrom;
  const bytesBefore = machine.programBytes();
  const from = machine.work();
  const startMs = machine.clock.nowMs();
  const { live: report } = await tracker.capture({
    full: false,
    live: { bufferBytes: Math.floor(memoryMiB * MIB * part) },
  });
  const captureMs = machine.clock.nowMs() - startMs;
  const done = machine.work() - from;
  await tracker.commit();
  if (report?.mode !== 'barrier') throw new Error(`the capture was ${report?.mode}: ${report?.reason}`);
  // It grows the first time, and the next ring lies where that one was.
  seen.grownBytes = Math.max(seen.grownBytes, machine.programBytes() - bytesBefore);
  if (!counts) return;
  seen.pauseMs.push(report.pauseMs);
  seen.stallMs.push(report.longestStallMs);
  seen.totalStallMs.push(report.totalStallMs);
  seen.captureMs.push(captureMs);
  seen.slowDown.push(usual / usualMs / (done / captureMs));
  seen.aside.push(report.pagesCopiedAside);
  seen.spilled.push(report.spilled);
  seen.peakRingBytes.push(report.peakRingBytes);
}

function resultsOf(
  { memoryMiB }: Machine,
  seen: Readonly<Record<string, Seen>>,
  stoppedMs: number,
  stateMs: number,
) {
  const results: BenchResult[] = [];
  const lower = (name: string, value: number, more: Partial<BenchResult> = {}) =>
    results.push({
      name: `${memoryMiB} MiB, ${name}`,
      value,
      unit: 'ms',
      better: 'lower',
      ours: value,
      ...more,
    });
  lower('stopped for a copy: pause', stoppedMs, { peer: stateMs });
  for (const [name, one] of Object.entries(seen)) {
    lower(`${name}: pause; peer is stopping for a copy`, median(one.pauseMs), {
      goal: GOAL_MS,
      peer: stoppedMs,
    });
    lower(`${name}: longest stall`, median(one.stallMs));
    lower(`${name}: slow-down during the capture`, median(one.slowDown), { unit: 'x' });
  }
  return results;
}

function noteOf(memoryMiB: number, name: string, one: Seen): string {
  const mib = (bytes: number) => `${(bytes / MIB).toFixed(1)} MiB`;
  return (
    `${memoryMiB} MiB, ${name}: capture ${median(one.captureMs).toFixed(0)} ms, of which the guest waited ` +
    `${median(one.totalStallMs).toFixed(0)}; worst pause ${Math.max(...one.pauseMs).toFixed(2)} ms, worst stall ` +
    `${Math.max(...one.stallMs).toFixed(2)} ms; ${median(one.aside)} pages copied aside, ${median(one.spilled)} of them spilled; ` +
    `ring at most ${mib(median(one.peakRingBytes))} full; memory grew by ${mib(one.grownBytes)} more than for the ring before.`
  );
}

/** Lets the guest write each of its pages at least once. */
async function writeAll({ memoryMiB, work }: Machine): Promise<void> {
  const goal = work() + (memoryMiB * MIB) / PAGE_BYTES;
  while (work() < goal) await new Promise((next) => setTimeout(next, 1));
}

async function open(memoryMiB: number, clock: Clock): Promise<Machine> {
  const memoryBytes = memoryMiB * MIB;
  const rom = new Uint8Array(65_536).fill(0xff);
  rom.set(hardWriter(memoryBytes));
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  const emulator = new V86({
    wasm_fn: trackedWasmFn(v86Bytes()),
    bios: { buffer: rom.buffer },
    memory_size: memoryBytes,
    vga_memory_size: MIB,
    net_device: { type: 'none' },
    // v86's own restore_state, which the peer is, wants one.
    hda: { buffer: new ArrayBuffer(65_536) },
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    autostart: false,
  } as never) as unknown as Emulator & { v86: { cpu: Cpu } };
  await new Promise<void>((resolve) => emulator.add_listener('emulator-ready', () => resolve()));
  const guest = adoptV86(emulator);
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels(), clock });
  const { cpu } = emulator.v86;
  const work = (): number => {
    const words = new DataView(cpu.wasm_memory.buffer, cpu.mem8.byteOffset);
    const rounds = words.getUint32(HARD_WRITER.rounds, true);
    const into = words.getUint32(HARD_WRITER.address, true) - HARD_WRITER.firstBytes;
    return (rounds * (memoryBytes - HARD_WRITER.firstBytes) + Math.max(0, into)) / PAGE_BYTES;
  };
  await emulator.run();
  const machine = {
    memoryMiB,
    clock,
    emulator,
    guest,
    tracker,
    work,
    programBytes: () => cpu.wasm_memory.buffer.byteLength,
  };
  await writeAll(machine);
  await tracker.capture({ full: false, live: { bufferBytes: 0 } });
  await tracker.commit();
  return machine;
}

interface Cpu {
  readonly wasm_memory: WebAssembly.Memory;
  readonly mem8: { readonly byteOffset: number };
}

function v86Bytes(): Uint8Array<ArrayBuffer> {
  const path = fileURLToPath(import.meta.resolve('v86')).replace('libv86.mjs', 'v86.wasm');
  return Uint8Array.from(readFileSync(path));
}

// P7: saving a machine of the host, 512 MiB of Linux: all of it into a fresh store, what changed, and while it runs.
// Peers: QEMU's own ways into a file, and `cp` of the file that its RAM is. Both sides end with the bytes on the disk.

import { spawnSync } from 'node:child_process';
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Effort } from '../../src/format/frame-codecs.ts';
import { ThreadEncoder } from '../../src/host/pages/thread-encoder.ts';
import { CloneRam } from '../../src/host/qemu/clone-ram.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { openVitrine } from '../../src/open-vitrine.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { FILL, HostShell, linuxProfile, newestQemu, WORK } from './host-linux.ts';
import { hasLinux } from './linux.ts';
import { QemuLinux } from './qemu.ts';
import { type BenchResult, type BenchRow, median } from './row.ts';

const MEMORY_MIB = 512;
const ROUNDS = 7;
/** A full save into a store of its own each. */
const FULL_ROUNDS = 3;

export async function run(): Promise<BenchRow> {
  const qemu = newestQemu();
  if (qemu === undefined || !hasLinux()) {
    return { row: 'P7', results: [], notes: ['Not measured: QEMU and `npm run guests` are needed.'] };
  }
  const folder = mkdtempSync(join(tmpdir(), 'vitrine-p7-'));
  const results: BenchResult[] = [];
  const notes: string[] = [];
  try {
    const peers = await measurePeers(folder, qemu.program);
    const best = Math.min(...Object.values(peers));
    for (const [name, ms] of Object.entries(peers)) notes.push(`${name}: ${ms.toFixed(0)} ms`);
    const ours = await measureOurs(folder, qemu.program);
    results.push(
      ratio('full, as it is, ms vs the best of QEMU', ours.rawMs, best, 1),
      ratio('full, as it is, ms vs cp of the RAM file', ours.rawMs, ours.copyMs),
      ratio('full, compressed, ms vs the best of QEMU', ours.fullMs, best),
      ratio('1 % changed, ms vs the best of QEMU', ours.changedMs, best, 20),
      ratio('1 % changed, while it runs, ms vs the best of QEMU', ours.liveMs, best),
      pause('1 % changed: pause', ours.changedPauseMs),
      pause('1 % changed, while it runs: pause', ours.livePauseMs),
      ratio('1 % changed, of a machine that moved, ms vs the best of QEMU', ours.movedMs, best, 20),
      pause('1 % changed, of a machine that moved: pause', ours.movedPauseMs),
    );
    notes.push(
      `QEMU ${qemu.version} without KVM; a full save wrote ${mebibytes(ours.rawBytes)} MiB, compressed (which is what it does unless told) ${mebibytes(ours.fullBytes)}, one of what changed ` +
        `${mebibytes(ours.changedBytes)} MiB of ${ours.changedPages} pages, while it ran ${mebibytes(ours.liveBytes)} MiB.`,
      `The machine that moved stands on an image of its RAM, as forks do; ${ours.ownPages} pages were its own at the end, and each save ` +
        'looks at all of those.',
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { row: 'P7', results, notes };
}

/** QEMU's own ways, by name, in milliseconds. */
async function measurePeers(folder: string, program: string): Promise<Record<string, number>> {
  const linux = await QemuLinux.boot(folder, { program, memoryMiB: MEMORY_MIB });
  const file = join(folder, 'peer');
  const found: Record<string, number> = {};
  const measure = async (name: string, save: () => Promise<unknown>): Promise<void> => {
    const times: number[] = [];
    for (let round = 0; round < FULL_ROUNDS; round++) {
      const startMs = performance.now();
      await save();
      settle(file);
      times.push(performance.now() - startMs);
    }
    found[name] = median(times);
  };
  try {
    await linux.shell(FILL);
    await measure('migrate to a file', () => linux.save(file));
    await measure('mapped-ram and multifd', () =>
      linux.migrate(`file:${file}`, file, ['mapped-ram', 'multifd']),
    ).catch(() => {});
  } finally {
    await linux.close();
    rmSync(file, { force: true });
  }
  return found;
}

async function measureOurs(folder: string, program: string) {
  const stores: string[] = [];
  const open = async (round: number): Promise<[QemuMachine, HostShell, () => Promise<void>]> => {
    const store = join(folder, `store-${round}`);
    stores.push(store);
    const vitrine = await openVitrine({ store: await openFsStore(store), encoder: new ThreadEncoder() });
    const machine = await openQemuMachine('linux', linuxProfile(program, MEMORY_MIB), vitrine);
    const shell = new HostShell(machine.serial);
    await machine.start();
    await shell.up();
    await shell.run(FILL);
    const close = async (): Promise<void> => {
      await machine.close();
      await vitrine.close();
      rmSync(store, { recursive: true, force: true });
    };
    return [machine, shell, close];
  };
  const full = { ms: [] as number[], copyMs: [] as number[], bytes: 0 };
  const raw = structuredClone(full);
  for (let round = 0; round < 2 * FULL_ROUNDS - 1; round++) {
    const [machine, , close] = await open(round + 1);
    // By turns, so that both have the host's hours alike.
    if (round % 2 === 0) await timeFull(machine, raw, folder, 'none');
    else await timeFull(machine, full, folder, 'fast');
    await close();
  }
  const [machine, shell, close] = await open(0);
  await timeFull(machine, full, folder, 'fast');
  // The first live save tries which way is right.
  await machine.machine.save({ live: {} });
  const changed = { ms: [] as number[], pauseMs: [] as number[], bytes: 0, pages: 0 };
  const live = { ms: [] as number[], pauseMs: [] as number[], bytes: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    await shell.run(WORK);
    const atRest = await machine.machine.save();
    changed.ms.push(atRest.totalMs);
    changed.pauseMs.push(atRest.pauseMs);
    changed.bytes = atRest.bytesWritten;
    changed.pages = atRest.pagesChanged;
    await shell.run(WORK);
    const running = await machine.machine.save({ live: {} });
    live.ms.push(running.totalMs);
    live.pauseMs.push(running.pauseMs);
    live.bytes = running.bytesWritten;
  }
  // In a process that tells what it writes. The first save there looks at everything.
  await machine.quicken();
  await machine.machine.save();
  const moved = { ms: [] as number[], pauseMs: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    await shell.run(WORK);
    const { totalMs, pauseMs } = await machine.machine.save();
    moved.ms.push(totalMs);
    moved.pauseMs.push(pauseMs);
  }
  const { ram } = machine.guest;
  const ownPages = ram instanceof CloneRam ? ram.writtenPages(0, ram.sizeBytes).size : 0;
  await close();
  return {
    movedMs: median(moved.ms),
    movedPauseMs: median(moved.pauseMs),
    ownPages,
    fullMs: median(full.ms),
    rawMs: median(raw.ms),
    rawBytes: raw.bytes,
    copyMs: median([...raw.copyMs, ...full.copyMs]),
    fullBytes: full.bytes,
    changedMs: median(changed.ms),
    changedPauseMs: median(changed.pauseMs),
    changedBytes: changed.bytes,
    changedPages: changed.pages,
    liveMs: median(live.ms),
    livePauseMs: median(live.pauseMs),
    liveBytes: live.bytes,
  };
}

async function timeFull(
  machine: QemuMachine,
  full: { ms: number[]; copyMs: number[]; bytes: number },
  folder: string,
  effort: Effort,
): Promise<void> {
  await machine.stop();
  const copy = join(folder, 'copy');
  const startMs = performance.now();
  spawnSync('cp', ['--sparse=never', machine.process.files.ram, copy]);
  settle(copy);
  full.copyMs.push(performance.now() - startMs);
  rmSync(copy);
  const { totalMs, bytesWritten } = await machine.machine.save({ full: true, effort });
  full.ms.push(totalMs);
  full.bytes = bytesWritten;
  await machine.start();
}

/** Waits until a file is on the disk, as ours are. */
function settle(path: string): void {
  const file = openSync(path, 'r+');
  fsyncSync(file);
  closeSync(file);
}

function ratio(name: string, ours: number, peer: number, goal?: number): BenchResult {
  const result = { name, value: peer / ours, unit: 'x', better: 'higher', ours, peer } as const;
  return goal === undefined ? result : { ...result, goal };
}

function pause(name: string, ms: number): BenchResult {
  return { name, value: ms, unit: 'ms', better: 'lower', goal: 5, ours: ms };
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

// P8: restoring a machine of the host, to its first instruction and to its shell's answer: in place, as a clone, lazily; and the
// same point again and again. Peers: QEMU's `migrate-incoming` of a file and `loadvm`, and a boot.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Vitrine } from '../../src/engine/vitrine.ts';
import { openClonePool } from '../../src/host/qemu/clone-pool.ts';
import { openLazyMachine, spareLazyMachine } from '../../src/host/qemu/lazy-machine.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import { openQemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { SpareProcesses } from '../../src/host/qemu/spare-processes.ts';
import { openVitrine } from '../../src/open-vitrine.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { FILL, HostShell, linuxProfile, newestQemu, WORK } from './host-linux.ts';
import { hasLinux } from './linux.ts';
import { QemuLinux } from './qemu.ts';
import { type BenchResult, type BenchRow, median } from './row.ts';

const MEMORY_MIB = 512;
const ROUNDS = 7;
const RESETS = 300;

interface Measured {
  readonly inPlaceMs: number;
  readonly cloneMs: number;
  readonly cloneShellMs: number;
  readonly firstShellMs: number;
  readonly spareMs: number;
  readonly spareShellMs: number;
  readonly lazyMs: number;
  readonly lazyShellMs: number;
  readonly resetMs: number;
  readonly resetPages: number;
}

export async function run(): Promise<BenchRow> {
  const qemu = newestQemu();
  if (qemu === undefined || !hasLinux()) {
    return { row: 'P8', results: [], notes: ['Not measured: QEMU and `npm run guests` are needed.'] };
  }
  const folder = mkdtempSync(join(tmpdir(), 'vitrine-p8-'));
  try {
    const peers = await measurePeers(folder, qemu.program);
    const vitrine = await openVitrine({ store: await openFsStore(join(folder, 'store')) });
    const ours = await measureOurs(vitrine, linuxProfile(qemu.program, MEMORY_MIB), folder);
    await vitrine.close();
    return {
      row: 'P8',
      results: resultsOf(ours, peers),
      notes: [
        `QEMU ${qemu.version} without KVM, ${MEMORY_MIB} MiB; in place after one page in a hundred was written anew; a clone from ` +
          'a pool whose next process waits; lazily with the order of first touches from the run before, with and without a process that waits.',
        `A reset puts back ${ours.resetPages.toFixed(0)} pages (median) that the idle machine wrote since the last one, and its devices.`,
      ],
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function resultsOf(
  ours: Measured,
  peers: Record<'bootMs' | 'incomingMs' | 'loadvmMs', number>,
): BenchResult[] {
  const best = Math.min(peers.incomingMs, peers.loadvmMs);
  const lower = (name: string, ms: number, goal?: number, peer?: number): BenchResult => ({
    name,
    value: ms,
    unit: 'ms',
    better: 'lower',
    ours: ms,
    ...(goal === undefined ? {} : { goal }),
    ...(peer === undefined ? {} : { peer }),
  });
  return [
    lower('in place; peer is loadvm', ours.inPlaceMs, undefined, peers.loadvmMs),
    lower('clone, to its first instruction; peer is migrate-incoming', ours.cloneMs, 100, peers.incomingMs),
    lower("clone, to its shell's answer; peer is a boot", ours.cloneShellMs, undefined, peers.bootMs),
    lower(
      'lazy, a process waits: to its first instruction; peer is migrate-incoming',
      ours.spareMs,
      50,
      peers.incomingMs,
    ),
    lower(
      "lazy, a process waits: to its shell's answer; peer is a boot",
      ours.spareShellMs,
      undefined,
      peers.bootMs,
    ),
    lower(
      'lazy, nothing waits: to its first instruction; peer is migrate-incoming',
      ours.lazyMs,
      50,
      peers.incomingMs,
    ),
    lower(
      "lazy, nothing waits: to its shell's answer; peer is a boot",
      ours.lazyShellMs,
      undefined,
      peers.bootMs,
    ),
    lower(
      "lazy, for the first time, nothing waits: to its shell's answer; peer is a boot",
      ours.firstShellMs,
      undefined,
      peers.bootMs,
    ),
    {
      name: 'resets of a clone a second',
      value: 1000 / ours.resetMs,
      unit: '/s',
      better: 'higher',
      goal: 200,
      ours: 1000 / ours.resetMs,
      peer: 1000 / peers.loadvmMs,
    },
    {
      name: 'reset of a clone (ms) vs the best of QEMU',
      value: best / ours.resetMs,
      unit: 'x',
      better: 'higher',
      goal: 10,
      ours: ours.resetMs,
      peer: best,
    },
  ];
}

async function measurePeers(folder: string, program: string) {
  const disk = join(folder, 'disk.qcow2');
  spawnSync('qemu-img', ['create', '-q', '-f', 'qcow2', disk, '1G']);
  const args = ['-drive', `file=${disk},if=none,id=d0,format=qcow2`];
  const file = join(folder, 'stream');
  const bootAt = performance.now();
  const linux = await QemuLinux.boot(folder, { program, memoryMiB: MEMORY_MIB, args });
  const bootMs = performance.now() - bootAt;
  const loadvm: number[] = [];
  const incoming: number[] = [];
  try {
    await linux.shell(FILL);
    await linux.save(file);
    await linux.human('savevm point');
    for (let round = 0; round < ROUNDS; round++) loadvm.push(await linux.human('loadvm point'));
  } finally {
    await linux.close();
  }
  for (let round = 0; round < ROUNDS; round++) {
    rmSync(join(folder, 'qmp'), { force: true });
    rmSync(join(folder, 'qmp-2'), { force: true });
    const startMs = performance.now();
    const waiting = await QemuLinux.boot(folder, { program, memoryMiB: MEMORY_MIB, args, incoming: true });
    await waiting.load(file);
    incoming.push(performance.now() - startMs);
    await waiting.close();
  }
  rmSync(file);
  return { bootMs, loadvmMs: median(loadvm), incomingMs: median(incoming) };
}

async function measureOurs(vitrine: Vitrine, profile: QemuProfile, folder: string): Promise<Measured> {
  const first = await openQemuMachine('linux', profile, vitrine);
  const shell = new HostShell(first.serial);
  await first.start();
  await shell.up();
  await shell.run(FILL);
  await first.stop();
  const { id } = (await first.machine.save()).snapshot;
  const inPlace: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await first.start();
    await shell.run(WORK);
    const startMs = performance.now();
    await first.machine.restore(id);
    inPlace.push(performance.now() - startMs);
    await first.stop();
  }
  await first.close();
  const clones = await measureClones(vitrine, profile, id);
  const lazy = await measureLazy(vitrine, profile, id, join(folder, 'touches'));
  return { inPlaceMs: median(inPlace), ...clones, ...lazy };
}

async function measureClones(vitrine: Vitrine, profile: QemuProfile, id: string) {
  const pool = await openClonePool('clone', profile, vitrine, id, { spare: 1 });
  const runs: number[] = [];
  const answers: number[] = [];
  try {
    for (let round = 0; round < ROUNDS; round++) {
      await pool.fill();
      const startMs = performance.now();
      const clone = await pool.clone();
      const shell = new HostShell(clone.serial);
      await clone.start();
      runs.push(performance.now() - startMs);
      await shell.run('true');
      answers.push(performance.now() - startMs);
      await clone.close();
    }
    return {
      cloneMs: median(runs),
      cloneShellMs: median(answers),
      ...(await measureResets(await pool.clone())),
    };
  } finally {
    await pool.close();
  }
}

async function measureResets(clone: Awaited<ReturnType<Awaited<ReturnType<typeof openClonePool>>['clone']>>) {
  const machine = await clone.adopt();
  const shell = new HostShell(clone.serial);
  await machine.start();
  // What tells written pages is compared with all of RAM until it is believed.
  for (let round = 0; round < 3; round++) {
    await shell.run('true');
    await machine.machine.save();
  }
  await machine.machine.checkpoint();
  const times: number[] = [];
  const pages: number[] = [];
  for (let round = 0; round < RESETS; round++) {
    const startMs = performance.now();
    const report = await machine.machine.reset();
    times.push(performance.now() - startMs);
    pages.push(report.pagesWritten);
  }
  await clone.close();
  return { resetMs: median(times), resetPages: median(pages) };
}

async function measureLazy(vitrine: Vitrine, profile: QemuProfile, id: string, touchFolder: string) {
  const times = { run: [[], []] as [number[], number[]], answer: [[], []] as [number[], number[]] };
  let firstShellMs = 0;
  const spares = new SpareProcesses({ most: 1 });
  try {
    // The first run is the one that learns what is touched. By turns, with nothing that waits and with a process that does.
    for (let round = 0; round <= 2 * ROUNDS; round++) {
      const waiting = round % 2;
      const options = { touchFolder, spares };
      if (waiting === 1) await spareLazyMachine(profile, vitrine, id, options);
      const startMs = performance.now();
      const lazy = await openLazyMachine('lazy', profile, vitrine, id, options);
      const shell = new HostShell(lazy.serial);
      await lazy.start();
      const runMs = performance.now() - startMs;
      await shell.run('true');
      if (round === 0) {
        firstShellMs = performance.now() - startMs;
      } else {
        times.run[waiting]!.push(runMs);
        times.answer[waiting]!.push(performance.now() - startMs);
      }
      await lazy.close();
    }
  } finally {
    await spares.close();
  }
  const [lazyMs, spareMs] = times.run.map(median) as [number, number];
  const [lazyShellMs, spareShellMs] = times.answer.map(median) as [number, number];
  return { lazyMs, lazyShellMs, spareMs, spareShellMs, firstShellMs };
}

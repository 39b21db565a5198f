// P9: stored bytes and the time they take: ten snapshots of a working Linux guest, and thirty guests of one image.
// Peers: v86's states piped through zstd -19, and restic over files of raw RAM, of the same instants.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadKernels } from '../../src/kernel/load.ts';
import { openVitrine } from '../../src/open-vitrine.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { bootLinux, hasLinux, type LinuxBench } from './linux.ts';
import { QemuLinux, qemuVersion } from './qemu.ts';
import type { BenchResult, BenchRow } from './row.ts';
import { hasZstd, zstdFile, zstdSize } from './zstd.ts';

const SNAPSHOTS = 10;
const GUESTS = 30;
/** zstd -19 takes half a minute for one state: so many of them are packed, the rest is taken to be alike. */
const ZSTD_SAMPLES = 2;

/** What a side needed for all instants of a part. */
interface Cost {
  bytes: number;
  ms: number;
}

/** What a part found, and what ours needed in it. */
interface Measured {
  readonly results: BenchResult[];
  readonly cost: Cost;
}

/** Work between snapshots: shell loops, files, compression, random data. */
const WORK = [
  'seq 1 3000 | sort -r > /tmp/sorted',
  'ls -laR / 2>/dev/null | gzip > /tmp/list.gz',
  'dd if=/dev/urandom of=/tmp/random bs=64k count=8 2>/dev/null',
  'for i in $(seq 1 50); do /bin/true; done',
  'md5sum /bin/busybox; dmesg | tail -50',
];

export async function run(): Promise<BenchRow> {
  if (!hasLinux())
    return { row: 'P9', results: [], notes: ['Not measured: `npm run guests` has not been run.'] };
  const linux = await bootLinux();
  const results: BenchResult[] = [];
  const notes: string[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'vitrine-p9-'));
  try {
    const restic = Restic.open(folder);
    if (restic === undefined) notes.push('restic is not installed: `apt-get install restic`.');
    if (!hasZstd()) notes.push('zstd is not installed: `apt-get install zstd`.');
    const work = (index: number) => linux.shell(WORK[index % WORK.length]!);
    const ours = await measure(`${SNAPSHOTS} snapshots`, SNAPSHOTS, linux, work, restic);
    results.push(...ours.results);
    const qemu = qemuVersion();
    if (qemu === undefined || !hasZstd())
      notes.push('QEMU was not measured: qemu-system-x86_64 and zstd are needed.');
    else {
      results.push(...(await measureQemu(folder, ours.cost)));
      notes.push(
        `QEMU ${qemu} is another machine (a PC without KVM, 128 MiB) that runs the same kernel, initial RAM disk and work; ` +
          'each of its ten migrations into a file is compressed by zstd -3, and the time is that of both.',
      );
    }
    results.push(...(await measureGuests(linux, restic)).results);
  } finally {
    await linux.guest.close();
    rmSync(folder, { recursive: true, force: true });
  }
  notes.push(
    `zstd -19 was run on ${ZSTD_SAMPLES} of the states of each part and its bytes and time scaled; restic backs up one file of ` +
      'raw RAM an instant, its own digests and compression included; all results are kept in memory or on the same disk.',
  );
  return { row: 'P9', results, notes };
}

/** The same work in QEMU, saved the usual way. */
async function measureQemu(folder: string, ours: Cost): Promise<BenchResult[]> {
  const linux = await QemuLinux.boot(folder);
  const cost: Cost = { bytes: 0, ms: 0 };
  const file = join(folder, 'stream');
  try {
    for (let index = 0; index < SNAPSHOTS; index++) {
      await linux.shell(WORK[index % WORK.length]!);
      const saved = await linux.save(file);
      const packed = zstdFile(file, 3);
      cost.bytes += packed.bytes;
      cost.ms += saved.ms + packed.ms;
    }
  } finally {
    await linux.close();
  }
  return compare(`${SNAPSHOTS} snapshots`, ours, 'QEMU stream + zstd -3', cost);
}

/** Thirty guests of one image: each goes on from one snapshot and does something of its own. */
async function measureGuests(linux: LinuxBench, restic: Restic | undefined): Promise<Measured> {
  const { emulator, shell } = linux;
  await emulator.stop();
  const image = await emulator.save_state();
  await emulator.run();
  return measure(
    `${GUESTS} guests of one image`,
    GUESTS,
    linux,
    async (index) => {
      await emulator.stop();
      await emulator.restore_state(image);
      await emulator.run();
      await shell(
        `echo guest ${index} > /tmp/name; seq ${index} ${index + 2000} | md5sum > /tmp/sum; hostname guest${index}`,
      );
    },
    restic,
  );
}

async function measure(
  title: string,
  count: number,
  { emulator, guest }: LinuxBench,
  work: (index: number) => Promise<unknown>,
  restic: Restic | undefined,
): Promise<Measured> {
  const engine = await openVitrine({ store: openMemoryStore() });
  const machine = engine.adopt('linux', await openScanTracker(guest, { openKernels: () => loadKernels() }));
  const ours: Cost = { bytes: 0, ms: 0 };
  const zstd: Cost = { bytes: 0, ms: 0 };
  const ofRestic: Cost = { bytes: 0, ms: 0 };
  const resticBefore = restic?.size() ?? 0;
  let samples = 0;
  for (let index = 0; index < count; index++) {
    await work(index);
    await emulator.stop();
    const startMs = performance.now();
    const { bytesWritten } = await machine.save({ effort: 'balanced' });
    ours.ms += performance.now() - startMs;
    ours.bytes += bytesWritten;
    if (hasZstd() && index % Math.ceil(count / ZSTD_SAMPLES) === 0) {
      const stateMs = performance.now();
      const state = new Uint8Array(await emulator.save_state());
      const savedMs = performance.now() - stateMs;
      const packed = zstdSize(state, 19);
      zstd.bytes += packed.bytes;
      zstd.ms += savedMs + packed.ms;
      samples++;
    }
    if (restic !== undefined) {
      await guest.pause();
      restic.writeRam(guest.view(0)!);
      await guest.resume();
      ofRestic.ms += restic.backUp();
    }
    await emulator.run();
  }
  const results: BenchResult[] = [];
  if (samples > 0) {
    const states = { bytes: (zstd.bytes / samples) * count, ms: (zstd.ms / samples) * count };
    results.push(...compare(title, ours, 'v86 state + zstd -19', states));
  }
  if (restic !== undefined) {
    const backups = { bytes: restic.size() - resticBefore, ms: ofRestic.ms };
    results.push(...compare(title, ours, 'restic of raw RAM', backups));
  }
  return { results, cost: ours };
}

function compare(title: string, ours: Cost, peer: string, cost: Cost): BenchResult[] {
  return [
    {
      name: `${title}: bytes vs ${peer}`,
      value: cost.bytes / ours.bytes,
      unit: 'x',
      better: 'higher',
      goal: 1,
      ours: ours.bytes,
      peer: cost.bytes,
    },
    {
      name: `${title}: time (ms) vs ${peer}`,
      value: cost.ms / ours.ms,
      unit: 'x',
      better: 'higher',
      goal: 3,
      ours: ours.ms,
      peer: cost.ms,
    },
  ];
}

/** A restic repository, and the file that it backs up. */
class Restic {
  readonly #repository: string;
  readonly #file: string;

  private constructor(folder: string) {
    this.#repository = join(folder, 'repository');
    this.#file = join(folder, 'ram');
  }

  /** Undefined where there is no restic. */
  static open(folder: string): Restic | undefined {
    const restic = new Restic(folder);
    return restic.#run(['init', '--repository-version', 'latest']) ? restic : undefined;
  }

  writeRam(ram: Uint8Array): void {
    writeFileSync(this.#file, ram);
  }

  /** Backs the file up; answers with the milliseconds it took. */
  backUp(): number {
    const startMs = performance.now();
    if (!this.#run(['backup', '--no-cache', this.#file])) throw new Error('restic failed');
    return performance.now() - startMs;
  }

  /** Bytes of the repository. */
  size(): number {
    const { stdout } = spawnSync('du', ['-sb', this.#repository], { encoding: 'utf8' });
    return Number.parseInt(stdout, 10);
  }

  #run(words: readonly string[]): boolean {
    const { status } = spawnSync('restic', ['--quiet', '--repo', this.#repository, ...words], {
      env: { ...process.env, RESTIC_PASSWORD: 'bench' },
    });
    return status === 0;
  }
}

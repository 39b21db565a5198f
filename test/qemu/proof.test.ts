// The whole of it, on a Linux that does three things at once: it counts in its memory, writes numbered sectors to its disk and
// pings over its network card. Saved, killed, brought back in a new process, a thousand times in place, as four clones that share
// their RAM and before its memory is there, it goes on with the exact next number of each, and with every sector that it wrote.

import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { openClonePool } from '../../src/host/qemu/clone-pool.ts';
import { openLazyMachine } from '../../src/host/qemu/lazy-machine.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import type { SerialLine } from '../../src/host/qemu/serial-line.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { DISK_DRIVERS, linuxWithDrivers, NETWORK_DRIVERS } from './disk-linux.ts';
import { LINUX_TIMEOUT_MS, Shell } from './linux-machine.ts';
import { NETWORK_UP, NO_WORK, type Numbers, WORK_LOOPS, WorkLine } from './linux-work.ts';
import { ACCELERATOR, NO_PAGE_FAULTS, QEMUS, ramOf } from './pulse-machine.ts';

const PAGE_BYTES = 4096;
const DISK_BYTES = 8 * MIB;
/** In one of the versions; others show that they can. */
const RESETS = 1000;
const FEW_RESETS = 100;
/** Every so many resets the machine first runs until it has done something. */
const RUNS_EVERY = 50;
const CLONES = 4;
const MORE = 3;

describe.each(QEMUS)('a Linux that counts, writes and pings in QEMU $version', ({ version, program }) => {
  const resets = version === QEMUS[0]!.version ? RESETS : FEW_RESETS;
  let folder: string;
  let linux: ReturnType<typeof linuxWithDrivers>;
  let vitrine: Vitrine;
  let snapshot: string;
  let then: Numbers;
  /** Of a line that was being printed then. */
  let unfinished = '';
  let ramThen: Buffer;
  const closers: (() => Promise<void>)[] = [];

  const withDisk = () => ({
    disks: { folder, files: [{ name: 'data', file: join(folder, 'base.raw'), format: 'raw' as const }] },
  });

  const open = async (from?: string): Promise<QemuMachine> => {
    const options = { ...withDisk(), ...(from !== undefined && { snapshot: from }) };
    const machine = await openQemuMachine('linux', linux.profile, vitrine, options);
    closers.push(() => machine.close());
    workOf(machine.serial).goOnFrom(unfinished);
    return machine;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-proof-'));
    await writeFile(join(folder, 'base.raw'), '');
    await truncate(join(folder, 'base.raw'), DISK_BYTES);
    linux = linuxWithDrivers(program, [...DISK_DRIVERS, ...NETWORK_DRIVERS]);
    const args = ['-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile='];
    linux = { ...linux, profile: { ...linux.profile, args } };
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });

    const first = await open();
    const shell = new Shell(first.serial);
    await first.start();
    await shell.untilUp();
    for (const path of [...DISK_DRIVERS, ...NETWORK_DRIVERS]) {
      expect(await shell.run(`insmod /${path.split('/').at(-1)!}`)).toBe('');
    }
    await shell.run(NETWORK_UP);
    first.serial.write(WORK_LOOPS);
    await untilMore(first.serial, NO_WORK);
    await first.stop();
    ({
      snapshot: { id: snapshot },
    } = await first.machine.save());
    then = await lastOf(first.serial);
    ({ unfinished } = workOf(first.serial));
    ramThen = ramOf(first);
    // It does not notice: the numbers go on with nothing left out.
    workOf(first.serial).goOnFrom(unfinished);
    await first.start();
    await untilMore(first.serial, then);
    process.kill(first.process.pid, 'SIGKILL');
    await first.lost;
  });
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });
  afterAll(async () => {
    await vitrine?.close();
    await rm(folder, { recursive: true, force: true });
    await rm(linux.folder, { recursive: true, force: true });
  });

  it(`goes on in a new process, and again after each of ${resets} resets`, async () => {
    const machine = await open(snapshot);
    expectRam(machine, ramThen);
    await machine.start();
    await untilMore(machine.serial, then);
    await machine.stop();
    await machine.machine.restore(snapshot);
    expectRam(machine, ramThen);
    await machine.machine.checkpoint();
    for (let round = 1; round <= resets; round++) {
      workOf(machine.serial).goOnFrom(unfinished);
      await machine.start();
      if (round % RUNS_EVERY === 0) await untilMore(machine.serial, then, 1);
      // It runs on after a reset, and would print before it is heard again: at rest where it matters.
      if ((round + 1) % RUNS_EVERY === 0) await machine.stop();
      await machine.machine.reset();
    }
    await machine.stop();
    await machine.machine.reset();
    expectRam(machine, ramThen);
    workOf(machine.serial).goOnFrom(unfinished);
    await machine.start();
    await untilMore(machine.serial, then);
    expect((await machine.status()).said).toBe('');
  });

  it(`goes on as ${CLONES} clones at once`, async () => {
    const pool = await openClonePool('linux', linux.profile, vitrine, snapshot, withDisk());
    closers.push(() => pool.close());
    const clones = await Promise.all(Array.from({ length: CLONES }, () => pool.clone()));
    for (const clone of clones) workOf(clone.serial).goOnFrom(unfinished);
    for (const clone of clones) await clone.start();
    await Promise.all(clones.map((clone) => untilMore(clone.serial, then)));
  });

  // Pages that come as they are touched are userfaultfd's, which not everybody may use.
  it.skipIf(NO_PAGE_FAULTS)('goes on before its memory is there', async () => {
    const lazy = await openLazyMachine('linux', linux.profile, vitrine, snapshot, withDisk());
    closers.push(() => lazy.close());
    workOf(lazy.serial).goOnFrom(unfinished);
    await lazy.start();
    await untilMore(lazy.serial, then);
    const { machine } = await lazy.whole;
    closers.push(() => machine.close());
    await untilMore(machine.serial, then, 2 * MORE);
  });
});

const lines = new WeakMap<SerialLine, WorkLine>();

/** Also to be called before a machine starts. */
function workOf(serial: SerialLine): WorkLine {
  const line = lines.get(serial) ?? new WorkLine(serial);
  lines.set(serial, line);
  return line;
}

/** Waits until it did `count` more of each than `from`, and looks that it did the next ones, one after another, and no other. */
async function untilMore(serial: SerialLine, from: Numbers, count = MORE): Promise<void> {
  const work = workOf(serial);
  await vi.waitUntil(() => work.isAhead(from, count), { timeout: LINUX_TIMEOUT_MS, interval: 10 });
  expect(work.fault(from)).toBe('none');
}

/** The last numbers of a machine that rests, once all that it printed has come. */
async function lastOf(serial: SerialLine): Promise<Numbers> {
  const work = workOf(serial);
  let length = -1;
  const isStill = () => {
    const wasLong = length;
    length = work.length;
    return wasLong === length;
  };
  await vi.waitUntil(isStill, { timeout: LINUX_TIMEOUT_MS, interval: 100 });
  return work.last;
}

/** KVM itself writes the clock of a guest that uses kvmclock, anew in every process: 32 bytes a processor, all in one page. */
function expectRam(machine: QemuMachine, then: Buffer): void {
  const now = ramOf(machine);
  const pages = Array.from({ length: then.length / PAGE_BYTES }, (_, page) => page * PAGE_BYTES);
  const differing = pages.filter((at) => now.compare(then, at, at + PAGE_BYTES, at, at + PAGE_BYTES) !== 0);
  expect(differing.length, `pages at ${differing.join(' ')}`).toBeLessThanOrEqual(
    ACCELERATOR === 'kvm' ? 1 : 0,
  );
}

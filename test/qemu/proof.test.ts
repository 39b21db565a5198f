// The whole of it, on a Linux that does three things at once: it counts in its memory, writes numbered sectors to its disk and
// pings over its network card. Saved, killed, brought back in a new process, a thousand times in place, as four clones that share
// their RAM and before its memory is there, it goes on with the exact next number of each, and with every sector that it wrote.

import { createHash } from 'node:crypto';
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
import { DISK_DRIVERS, linuxWithDrivers, NETWORK_DRIVERS, WRITE_LOOP } from './disk-linux.ts';
import { LINUX_TIMEOUT_MS, Shell } from './linux-machine.ts';
import { NO_PAGE_FAULTS, QEMUS, ramOf } from './pulse-machine.ts';

const DISK_BYTES = 8 * MIB;
/** In one of the versions; others show that they can. */
const RESETS = 1000;
const FEW_RESETS = 100;
/** Every so many resets the machine first runs until it has done something. */
const RUNS_EVERY = 50;
const CLONES = 4;
const MORE = 3;

const COUNT_LOOP = 'c=0; while :; do c=$((c+1)); echo "counted-$c."; usleep 20000; done &';
/** A ping whose answer was under way when the machine was saved is asked again: what is on the wire is in no snapshot. */
const PING_LOOP =
  'p=0; while :; do ping -c 1 -W 1 10.0.2.2 >/dev/null && p=$((p+1)) && echo "pinged-$p." || usleep 10000; done &';
const WORKS = ['counted', 'wrote', 'pinged'] as const;
type Numbers = Record<(typeof WORKS)[number], number>;

describe.each(QEMUS)('a Linux that counts, writes and pings in QEMU $version', ({ version, program }) => {
  const resets = version === QEMUS[0]!.version ? RESETS : FEW_RESETS;
  let folder: string;
  let linux: ReturnType<typeof linuxWithDrivers>;
  let vitrine: Vitrine;
  let snapshot: string;
  let then: Numbers;
  let ramThen: string;
  const closers: (() => Promise<void>)[] = [];

  const withDisk = () => ({
    disks: { folder, files: [{ name: 'data', file: join(folder, 'base.raw'), format: 'raw' as const }] },
  });

  const open = async (from?: string): Promise<QemuMachine> => {
    const options = { ...withDisk(), ...(from !== undefined && { snapshot: from }) };
    const machine = await openQemuMachine('linux', linux.profile, vitrine, options);
    closers.push(() => machine.close());
    forget(machine.serial);
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
    await shell.run('ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0');
    first.serial.write(`stty -echo; ${COUNT_LOOP} ${WRITE_LOOP} ${PING_LOOP}\n`);
    await untilMore(first.serial, { counted: 0, wrote: 0, pinged: 0 });
    await first.stop();
    ({
      snapshot: { id: snapshot },
    } = await first.machine.save());
    then = await lastOf(first.serial);
    ramThen = hashOfRam(first);
    // It does not notice: the numbers go on with nothing left out.
    forget(first.serial);
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
    expect(hashOfRam(machine)).toBe(ramThen);
    await machine.start();
    await untilMore(machine.serial, then);
    await machine.stop();
    await machine.machine.restore(snapshot);
    expect(hashOfRam(machine)).toBe(ramThen);
    await machine.machine.checkpoint();
    for (let round = 1; round <= resets; round++) {
      forget(machine.serial);
      await machine.start();
      if (round % RUNS_EVERY === 0) await untilMore(machine.serial, then, 1);
      await machine.machine.reset();
    }
    await machine.stop();
    await machine.machine.reset();
    expect(hashOfRam(machine)).toBe(ramThen);
    forget(machine.serial);
    await machine.start();
    await untilMore(machine.serial, then);
    expect((await machine.status()).said).toBe('');
  });

  it(`goes on as ${CLONES} clones at once`, async () => {
    const pool = await openClonePool('linux', linux.profile, vitrine, snapshot, withDisk());
    closers.push(() => pool.close());
    const clones = await Promise.all(Array.from({ length: CLONES }, () => pool.clone()));
    for (const clone of clones) forget(clone.serial);
    for (const clone of clones) await clone.start();
    await Promise.all(clones.map((clone) => untilMore(clone.serial, then)));
  });

  // Pages that come as they are touched are userfaultfd's, which not everybody may use.
  it.skipIf(NO_PAGE_FAULTS)('goes on before its memory is there', async () => {
    const lazy = await openLazyMachine('linux', linux.profile, vitrine, snapshot, withDisk());
    closers.push(() => lazy.close());
    forget(lazy.serial);
    await lazy.start();
    await untilMore(lazy.serial, then);
    const { machine } = await lazy.whole;
    closers.push(() => machine.close());
    await untilMore(machine.serial, then, 2 * MORE);
  });
});

/** What a machine printed since it was forgotten; the numbers of each work have to follow one another. */
const printed = new WeakMap<SerialLine, { text: string }>();

function outputOf(serial: SerialLine): { text: string } {
  let output = printed.get(serial);
  if (output === undefined) {
    const made = { text: '' };
    printed.set(serial, made);
    serial.onOutput((bytes) => {
      made.text += Buffer.from(bytes).toString('latin1');
    });
    output = made;
  }
  return output;
}

/** Also to be called before a machine starts: what comes before somebody listens is heard by nobody. */
function forget(serial: SerialLine): void {
  outputOf(serial).text = '';
}

function numbersOf(text: string, work: string): number[] {
  return [...text.matchAll(new RegExp(`${work}-(\\d+)\\.`, 'g'))].map(([, number]) => Number(number));
}

/** Waits until it did `count` more of each than `from`, and looks that it did the next ones, one after another, and no other. */
async function untilMore(serial: SerialLine, from: Numbers, count = MORE): Promise<void> {
  const output = outputOf(serial);
  const done = () => WORKS.every((work) => (numbersOf(output.text, work).at(-1) ?? 0) >= from[work] + count);
  await vi.waitUntil(done, { timeout: LINUX_TIMEOUT_MS, interval: 10 });
  expect(output.text).not.toMatch(/WRONG \d/);
  for (const work of WORKS) {
    const numbers = numbersOf(output.text, work);
    expect(numbers, work).toEqual(numbers.map((_, index) => from[work] + 1 + index));
  }
}

/** The last numbers of a machine that rests, once all that it printed has come. */
async function lastOf(serial: SerialLine): Promise<Numbers> {
  const output = outputOf(serial);
  let length = -1;
  const isStill = () => {
    const wasLong = length;
    length = output.text.length;
    return wasLong === length;
  };
  await vi.waitUntil(isStill, { timeout: LINUX_TIMEOUT_MS, interval: 100 });
  const last = (work: string) => numbersOf(output.text, work).at(-1)!;
  return { counted: last('counted'), wrote: last('wrote'), pinged: last('pinged') };
}

function hashOfRam(machine: QemuMachine): string {
  return createHash('sha256').update(ramOf(machine)).digest('hex');
}

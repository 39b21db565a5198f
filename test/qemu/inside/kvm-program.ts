// Runs inside a Linux whose processor has AMD-V (`kvm-linux.test.ts` boots it): a Linux of 64 bits there with KVM, which counts, writes to its disk
// and pings, is saved at rest and running, killed, and brought back in every way. It prints one line of JSON for each thing seen; what has to hold
// is said by the test.

import { truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '../../../src/base/limits.ts';
import { loadCodecs } from '../../../src/codec/load.ts';
import { openEngine } from '../../../src/engine/vitrine.ts';
import { serveBell } from '../../../src/host/qemu/bell-service.ts';
import { chooseAccelerator } from '../../../src/host/qemu/choose-accelerator.ts';
import { openClonePool } from '../../../src/host/qemu/clone-pool.ts';
import { openLazyMachine } from '../../../src/host/qemu/lazy-machine.ts';
import { proveLive } from '../../../src/host/qemu/live-proof.ts';
import { openQemuMachine, type QemuMachine } from '../../../src/host/qemu/qemu-machine.ts';
import type { SerialLine } from '../../../src/host/qemu/serial-line.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { openFsStore } from '../../../src/store/fs-store.ts';
import { openMemoryStore } from '../../../src/store/memory-store.ts';
import { NETWORK_UP, NO_WORK, type Numbers, WORK_LOOPS, WorkLine } from '../linux-work.ts';
import { SerialShell } from '../serial-shell.ts';
import { Oracle } from './oracle.ts';
import { tell } from './tell.ts';

const PROGRAM = '/usr/bin/qemu-system-x86_64';
const DRIVERS = ['virtio_blk', 'failover', 'net_failover', 'virtio_net'];
const FOLDER = tmpdir();
const DISK = join(FOLDER, 'disk.raw');
const PAGE_BYTES = 4096;
const MEMORY_BYTES = 128 * MIB;
/** Long enough for the one processor to have shown all that was printed. */
const STILL_TICKS = 15;
const RESETS = 10;
const SAVES = 4;
const CLONES = 2;
const MORE = 3;
const COMPLAINTS = 'dmesg | grep -iE "bug:|panic|stall|lockup|inconsistent|call trace" || echo none';

/** It has one processor, which others wait for. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((wake) => setTimeout(wake, 20));
}

writeFileSync(DISK, '');
truncateSync(DISK, 8 * MIB);
const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
const vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
const disks = { folder: FOLDER, files: [{ name: 'data', file: DISK, format: 'raw' as const }] };

// Memory files of that kernel cannot be written past the page cache.
const store = await openFsStore(join(FOLDER, 'store'));
const pack = Buffer.alloc(2 * MIB, 'pack');
await store.put('packs/one', pack);
tell('stored in memory files', { isSame: pack.equals((await store.get('packs/one')) ?? Buffer.alloc(0)) });
await store.close();

const choice = await chooseAccelerator({ program: PROGRAM });
tell('choice', choice);
tell('live proof', await proveLive({ program: PROGRAM, accelerator: 'kvm' }));

const profile = {
  program: PROGRAM,
  accelerator: choice.accelerator,
  memoryBytes: MEMORY_BYTES,
  kernel: '/images/vmlinuz-amd64',
  initrd: '/images/initrd-amd64',
  append: 'console=ttyS0 quiet mitigations=off random.trust_cpu=on init_on_alloc=0 no_timer_check',
  args: ['-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile='],
  bell: true,
};

const ramOf = ({ guest }: QemuMachine): Buffer => {
  const bytes = Buffer.alloc(MEMORY_BYTES);
  guest.readTorn({ region: 0, offsetBytes: 0, lengthBytes: bytes.length }, bytes);
  return bytes;
};
const differing = (machine: QemuMachine, then: Buffer): number => {
  const now = ramOf(machine);
  const pages = Array.from({ length: then.length / PAGE_BYTES }, (_, page) => page * PAGE_BYTES);
  return pages.filter((at) => now.compare(then, at, at + PAGE_BYTES, at, at + PAGE_BYTES) !== 0).length;
};

const works = new WeakMap<SerialLine, WorkLine>();
const workOf = (serial: SerialLine): WorkLine => {
  const line = works.get(serial) ?? new WorkLine(serial);
  works.set(serial, line);
  return line;
};
/** What is wrong with what it does next, or `none`. */
async function faultAfter(
  { serial }: Pick<QemuMachine, 'serial'>,
  from: Numbers,
  count = MORE,
): Promise<string> {
  const work = workOf(serial);
  await until(() => work.isAhead(from, count) || work.fault(from) !== 'none');
  return work.fault(from);
}

// Booted, and at work.
const first = await openQemuMachine('linux', profile, vitrine, { disks });
const shell = new SerialShell(first.serial, until);
await first.start();
await shell.untilUp();
const loaded = await shell.run(DRIVERS.map((name) => `insmod /lib/modules/${name}.ko`).join('; '));
await shell.run(NETWORK_UP);
tell('booted', {
  loaded,
  uname: await shell.run('uname -sm'),
  clock: await shell.run('cat /sys/devices/system/clocksource/clocksource0/current_clocksource'),
  says: await shell.run('dmesg | grep -o "Hypervisor detected: .*"'),
});
const work = workOf(first.serial);
first.serial.write(WORK_LOOPS);
await until(() => work.isAhead(NO_WORK, MORE));

// Saved at rest; it does not notice.
await first.stop();
const { snapshot } = await first.machine.save({ label: 'at rest' });
const oracle = new Oracle(first);
/** What it printed last comes a moment after it was stopped. */
async function untilStill(): Promise<void> {
  let length = -1;
  let still = 0;
  await until(() => {
    still = length === work.length ? still + 1 : 0;
    length = work.length;
    return still === STILL_TICKS;
  });
}
await untilStill();
const then = work.last;
const { unfinished } = work;
const ramThen = ramOf(first);
tell('saved at rest', { fault: work.fault(NO_WORK), differing: differing(first, ramThen) });
work.goOnFrom(unfinished);
await first.start();
tell('went on', { fault: await faultAfter(first, then) });

// By what changed, as the kernel tells what KVM's processors wrote.
const looked = [];
const wrong = new Set<string>();
/** It goes on after whatever it did last. */
async function moreOfFirst(): Promise<void> {
  const { last } = work;
  work.goOnFrom(work.unfinished);
  await first.start();
  wrong.add(await faultAfter(first, last, 1));
}
/** All that it printed has come. */
async function restFirst(): Promise<void> {
  await first.stop();
  await untilStill();
}
for (let count = 0; count < SAVES; count++) {
  await restFirst();
  looked.push((await first.machine.save()).snapshot.statistics.pagesScanned);
  await moreOfFirst();
}
tell('saved by marks', { looked, faults: [...wrong], tier: (await first.machine.describe()).tier });
const { takes, unknown, told, missed } = oracle;
tell('marks', { takes, unknown, told, differing: oracle.differing, missed });

// While it runs.
const { snapshot: running, live } = await first.machine.save({ live: {} });
await restFirst();
await moreOfFirst();
tell('saved running', { mode: live?.mode, faults: [...wrong] });
process.kill(first.process.pid, 'SIGKILL');
await first.lost;
await first.close();

// In a new process, in place, and again and again.
const second = await openQemuMachine('linux', profile, vitrine, { disks, snapshot: snapshot.id });
const inProcess = differing(second, ramThen);
workOf(second.serial).goOnFrom(unfinished);
await second.start();
const wentOn = await faultAfter(second, then);
await second.stop();
await second.machine.restore(snapshot.id);
const inPlace = differing(second, ramThen);
await second.machine.checkpoint();
const faults = new Set<string>();
for (let round = 0; round < RESETS; round++) {
  workOf(second.serial).goOnFrom(unfinished);
  await second.start();
  faults.add(await faultAfter(second, then, 1));
  await second.machine.reset();
  // It ran on after that, and printed what was taken back for nobody.
  await second.stop();
  await second.machine.reset();
}
tell('brought back', {
  inProcess,
  wentOn,
  inPlace,
  resets: [...faults],
  afterResets: differing(second, ramThen),
});

// From the instant while it ran: its numbers follow one another from wherever they were.
await second.machine.restore(running.id);
const later = workOf(second.serial);
later.goOnFrom('');
await second.start();
await until(() => Object.values(later.last).every((number) => number > 0));
const soon = later.last;
await until(() => later.isAhead(soon, MORE));
second.serial.write('kill $(jobs -p); stty echo\n');
const secondShell = new SerialShell(second.serial, until);
tell('brought back, of one that ran', {
  isLater: soon.counted > then.counted,
  complaints: await secondShell.run(COMPLAINTS),
});

// Asked for by its own shell.
serveBell(second.machine, second.guest.doorbell!, { allow: ['save', 'reset'] });
const saved = await secondShell.run('echo one >n; bell save asked; cat n');
await secondShell.run('echo two >n');
secondShell.forget();
second.serial.write('bell reset\n');
await secondShell.until(/restored [0-9a-f]{64}\r\none\r\n/);
tell('asked', { saved: saved.replace(/[0-9a-f]{64}/, 'ID') });
await second.close();

// Many from one, and one that runs before its memory is there.
const pool = await openClonePool('linux', profile, vitrine, snapshot.id, { disks, spare: 0 });
const clones = [];
for (let count = 0; count < CLONES; count++) clones.push(await pool.clone());
for (const clone of clones) workOf(clone.serial).goOnFrom(unfinished);
for (const clone of clones) await clone.start();
const cloned = await Promise.all(clones.map((clone) => faultAfter(clone, then)));
for (const clone of clones) await clone.close();
await pool.close();
const lazy = await openLazyMachine('linux', profile, vitrine, snapshot.id, { disks });
workOf(lazy.serial).goOnFrom(unfinished);
await lazy.start();
const lazily = await faultAfter(lazy, then);
const { machine: whole } = await lazy.whole;
tell('cloned and lazy', { cloned, lazily, whole: await faultAfter(whole, then, 2 * MORE) });
await whole.close();
await vitrine.close();
tell('end', {});

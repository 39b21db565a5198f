// A machine that moves into a process that tells what it writes: it is the same machine before and behind, down to each byte of its
// memory, its checkpoint and its base; resets look at what it wrote from then on; and where it cannot move, it goes on where it was.

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { PULSE } from '../../src/guest/pulse/pulse.ts';
import { openClonePool } from '../../src/host/qemu/clone-pool.ts';
import { adoptKeptMachine, findKeptMachines } from '../../src/host/qemu/kept-machine.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { isAlive, nameOf } from '../../src/host/qemu/run-directory.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf, whilePaused } from '../../src/testing/guest-suites/subject.ts';
import { DISK_DRIVERS, linuxWithDrivers, WriterLine } from './disk-linux.ts';
import { letRun, pulseProfile, pulseRomFile, QEMUS, ramOf, readPulse } from './pulse-machine.ts';

const MEMORY_BYTES = 32 * MIB;
const PAGES = MEMORY_BYTES / 4096;

describe.each(QEMUS)('a machine in QEMU $version', ({ program }) => {
  let rom: Awaited<ReturnType<typeof pulseRomFile>>;
  let root: string;
  let vitrine: Vitrine;
  let profile: QemuProfile;
  const machines: QemuMachine[] = [];

  const open = async (more: Parameters<typeof openQemuMachine>[3] = {}, made = profile) => {
    const machine = await openQemuMachine('pulse', made, vitrine, { root, softDirty: false, ...more });
    machines.push(machine);
    return machine;
  };
  const devicesOf = ({ guest }: QemuMachine) => whilePaused(guest, () => guest.saveDevices());

  beforeAll(async () => {
    rom = await pulseRomFile();
    root = await mkdtemp(join(tmpdir(), 'vitrine-quicken-'));
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
    profile = pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES });
  });
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.close();
    // Neither the process before nor its files stay behind.
    expect(await readdir(root)).toEqual([]);
  });
  afterAll(async () => {
    await vitrine?.close();
    await rom.remove();
    await rm(root, { recursive: true, force: true });
  });

  it('is the same behind, and its resets look at what it wrote alone', async () => {
    const machine = await open();
    await machine.start();
    await letRun(machine, 30);
    const saved = (await machine.machine.save()).snapshot.id;
    await machine.stop();
    await machine.machine.checkpoint();
    const point = await readPulse(machine.guest);
    const ramAtPoint = ramOf(machine);
    await machine.start();
    await letRun(machine, 30);
    await machine.stop();
    const [ram, devices, before] = [ramOf(machine), await devicesOf(machine), machine.process];
    expect(await machine.quicken()).toMatchObject({ moved: true });
    expect(machine.process.pid).not.toBe(before.pid);
    expect(before.isRunning).toBe(false);
    expect((await machine.status()).state).toBe('paused');
    expect(ramOf(machine).equals(ram)).toBe(true);
    expect(await devicesOf(machine)).toEqual(devices);
    // What was written before it moved is not forgotten: the first reset looks at everything.
    expect((await machine.machine.reset()).pagesCompared).toBe(PAGES);
    expect(ramOf(machine).equals(ramAtPoint)).toBe(true);
    expect(await readPulse(machine.guest)).toEqual(point);
    for (let round = 0; round < 20; round++) {
      await machine.start();
      expect((await machine.machine.reset()).pagesCompared).toBeLessThan(PAGES / 8);
    }
    await machine.stop();
    await machine.machine.reset();
    expect(ramOf(machine).equals(ramAtPoint)).toBe(true);
    await machine.start();
    await letRun(machine, 60);
    // It is told from the snapshot of before, and what it is saved as is exact.
    expect(machine.machine.base).toBe(saved);
    await machine.stop();
    const report = await machine.machine.save();
    expect(report.pagesChanged).toBeLessThan(PAGES / 8);
    const other = await open({ snapshot: report.snapshot.id });
    expect(ramOf(other).equals(ramOf(machine))).toBe(true);
    await machine.machine.restore(saved);
    await machine.start();
    await letRun(machine, 60);
  });

  it('loses no key that is typed while it moves', async () => {
    const machine = await open();
    await machine.start();
    await letRun(machine, 20);
    let typed = 0;
    const typing = setInterval(() => {
      machine.serial.write('x');
      typed++;
    }, 5);
    await machine.quicken();
    clearInterval(typing);
    // However quick it was.
    expect(typed).toBeGreaterThan(0);
    const heard = (): number => {
      const word = Buffer.alloc(4);
      machine.guest.readTorn({ region: 0, offsetBytes: PULSE.keys, lengthBytes: 4 }, word);
      return word.readUInt32LE();
    };
    await expect.poll(heard, { timeout: 30_000 }).toBe(typed);
  });

  it('moves while it runs, once and no more where nothing would be gained', async () => {
    const machine = await open();
    await machine.start();
    await letRun(machine, 20);
    const said = machine.lost.then(() => 'lost');
    expect(await machine.quicken()).toMatchObject({ moved: true });
    const { pid } = machine.process;
    await letRun(machine, 60);
    expect(await machine.quicken()).toMatchObject({ moved: false, pauseMs: 0 });
    expect(machine.process.pid).toBe(pid);
    expect((await machine.status()).state).toBe('running');
    expect((await machine.machine.describe()).tier).toBe('marks');
    expect(await Promise.race([said, Promise.resolve('there')])).toBe('there');
    machine.process.kill();
    expect((await machine.lost).code).toBe('guest-lost');
  });

  it('that wrote much stands on a new image then', async () => {
    const machine = await open();
    await machine.start();
    await letRun(machine, 20);
    await machine.quicken();
    await machine.stop();
    // As its program could have.
    await whilePaused(machine.guest, async () => {
      machine.guest.writePages(
        { region: 0, offsetBytes: 8 * MIB, lengthBytes: 16 * MIB },
        new Uint8Array(16 * MIB).fill(7),
      );
    });
    const ram = ramOf(machine);
    await machine.machine.checkpoint();
    expect(await machine.quicken()).toMatchObject({ moved: true });
    expect(ramOf(machine).equals(ram)).toBe(true);
    await machine.machine.reset();
    await machine.start();
    expect((await machine.machine.reset()).pagesCompared).toBeLessThan(PAGES / 8);
    await machine.stop();
    await machine.machine.reset();
    expect(ramOf(machine).equals(ram)).toBe(true);
    await machine.start();
    await letRun(machine, 60);
  });

  it('that was forked leaves the image of all as it is', async () => {
    const first = await open();
    await first.start();
    await letRun(first, 20);
    const { id } = (await first.machine.save()).snapshot;
    const pool = await openClonePool('pulse', profile, vitrine, id, { root, spare: 0 });
    try {
      const [one, other] = await Promise.all([pool.clone(), pool.clone()]);
      const [moving, staying] = [await one!.adopt(), await other!.adopt()];
      const ram = ramOf(staying);
      await whilePaused(moving.guest, async () => {
        moving.guest.writePages(
          { region: 0, offsetBytes: 8 * MIB, lengthBytes: 16 * MIB },
          new Uint8Array(16 * MIB).fill(9),
        );
      });
      const moved = ramOf(moving);
      expect(await moving.quicken()).toMatchObject({ moved: true });
      expect(ramOf(moving).equals(moved)).toBe(true);
      expect(ramOf(staying).equals(ram)).toBe(true);
      await moving.start();
      await letRun(moving, 60);
    } finally {
      await pool.close();
    }
  });

  it('goes on where it was when a second process does not start', async () => {
    const port = await freePort();
    const made = {
      ...profile,
      args: ['-chardev', `socket,id=own,host=127.0.0.1,port=${port},server=on,wait=off`],
    };
    const machine = await open({}, made);
    await machine.start();
    await letRun(machine, 20);
    const { pid } = machine.process;
    expect(await codeOf(() => machine.quicken())).toBe('guest-start');
    expect(machine.process.pid).toBe(pid);
    await letRun(machine, 20);
    await machine.machine.checkpoint();
    expect((await machine.machine.reset()).pagesCompared).toBe(PAGES);
  });

  it('is refused what it cannot do, with what is missing', async () => {
    const large = await open({ mostCopiedBytes: 16 * MIB });
    expect(await codeOf(() => large.quicken())).toBe('unsupported');
    const reporting = await open({}, { ...profile, freePages: true });
    expect(await codeOf(() => reporting.quicken())).toBe('unsupported');
    const held = await open();
    await held.guest.pause();
    expect(await codeOf(() => held.quicken())).toBe('busy');
    await held.guest.resume();
  });

  it('is found by its next owner, and the one before is not', async () => {
    const machine = await open({ keptFor: '/home-of-quicken' });
    await machine.start();
    await letRun(machine, 20);
    const before = await nameOf(machine.process.pid);
    await machine.quicken();
    await letRun(machine, 20);
    await machine.leave();
    machines.splice(0);
    const found = await findKeptMachines('/home-of-quicken', root);
    expect(found).toHaveLength(1);
    expect(await isAlive(before)).toBe(false);
    const again = await adoptKeptMachine(found[0]!, vitrine, { root });
    machines.push(again);
    await letRun(again, 20);
  });
});

it('of a Linux keeps its disk and its serial line: no number is missing or comes twice', async () => {
  const { program } = QEMUS.at(-1)!;
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-quicken-disk-'));
  const linux = linuxWithDrivers(program, DISK_DRIVERS);
  const file = join(folder, 'base.raw');
  await writeFile(file, Buffer.alloc(8 * MIB));
  const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
  const vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
  const disks = { folder, files: [{ name: 'data', file, format: 'raw' as const }] };
  const machine = await openQemuMachine('linux', linux.profile, vitrine, { disks, softDirty: false });
  try {
    const line = new WriterLine(machine.serial);
    await machine.start();
    await line.startWriting();
    await line.untilWritten(5);
    await machine.machine.checkpoint();
    const marked = line.written.at(-1)!;
    await line.untilMore(5);
    expect(await machine.quicken()).toMatchObject({ moved: true });
    await line.untilMore(10);
    expect(line.written).toEqual(line.written.map((_, index) => index + 1));
    // The checkpoint of before the move, with its disk.
    await machine.stop();
    line.forget();
    await machine.machine.reset();
    await machine.start();
    await line.untilMore(5);
    const [first, ...others] = line.written;
    expect(first! - marked).toBeOneOf([1, 2]);
    expect(others).toEqual(others.map((_, index) => first! + 1 + index));
  } finally {
    await machine.close();
    await vitrine.close();
    await rm(folder, { recursive: true, force: true });
    await rm(linux.folder, { recursive: true, force: true });
  }
});

async function freePort(): Promise<number> {
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('it listens at no port');
  return address.port;
}

// Machines with KVM: the whole life of Pulse, in processors that the kernel runs and memory that it writes. Saved at rest, running
// and again, put back in place, in a new process, as clones and before its RAM is there; each time its memory is the same to the
// byte and its generator goes on with the very next word. Where the kernel works each instruction off by itself Pulse is never done
// with a tick before the next one comes: `faultOfRam` tells of any instant.

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { PULSE } from '../../src/guest/pulse/pulse.ts';
import { attachQemu } from '../../src/host/qemu/attach.ts';
import { openClonePool } from '../../src/host/qemu/clone-pool.ts';
import { HARD_WRITER, hardWriterFault, hardWriterRom } from '../../src/host/qemu/hard-writer.ts';
import { openLazyMachine } from '../../src/host/qemu/lazy-machine.ts';
import { proveLive } from '../../src/host/qemu/live-proof.ts';
import { provePageMap } from '../../src/host/qemu/page-map-proof.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { selfTest } from '../../src/host/qemu/self-test.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { differenceOfDevices } from '../../src/testing/guest-suites/instant.ts';
import { codeOf, whilePaused } from '../../src/testing/guest-suites/subject.ts';
import { kvmFault } from '../setup/qemu.mjs';
import { BareQemu } from './bare-qemu.ts';
import { PULSE_CPUS, pulseProfile, pulseRomFile, QEMUS, ramOf } from './pulse-machine.ts';
import { faultOfRam } from './pulse-state.ts';

const MEMORY_BYTES = 8 * MIB;
const PAGES = MEMORY_BYTES / 4096;
const RESETS = 100;

const missing = kvmFault(QEMUS[0]!.program);
if (missing !== undefined) console.error(`NO KVM, ITS TESTS ARE SKIPPED: ${missing}`);

type Running = Pick<QemuMachine, 'guest'>;

function wordOf({ guest }: Running, offsetBytes: number): number {
  const word = Buffer.alloc(4);
  guest.readTorn({ region: 0, offsetBytes, lengthBytes: 4 }, word);
  return word.readUInt32LE();
}

const loopsOf = (machine: Running): number => wordOf(machine, PULSE.loops);

/** Lets it write so many more pages. */
async function runOn(machine: Running, loops: number): Promise<void> {
  const until = loopsOf(machine) + loops;
  await vi.waitUntil(() => loopsOf(machine) >= until, { timeout: 60_000, interval: 10 });
}

/** Its RAM at rest, right by Pulse's own rules. */
function rightRam(machine: Running): Buffer {
  const ram = ramOf(machine);
  expect(faultOfRam(ram)).toBe('none');
  return ram;
}

const devicesOf = ({ guest }: Running) => whilePaused(guest, () => guest.saveDevices());

// Skipped because KVM is the host's to have: without it nothing here can run, and the lane says so where it begins.
describe.skipIf(missing !== undefined).each(QEMUS)('KVM in QEMU $version', ({ program }) => {
  let rom: Awaited<ReturnType<typeof pulseRomFile>>;
  let root: string;
  let vitrine: Vitrine;
  let profile: QemuProfile;
  /** A snapshot at rest, and its RAM. */
  let saved: string;
  let savedRam: Buffer;
  const closing: { close(): Promise<unknown> }[] = [];

  const open = async (more: Parameters<typeof openQemuMachine>[3] = {}, made = profile) => {
    const machine = await openQemuMachine('pulse', made, vitrine, { root, ...more });
    closing.push(machine);
    return machine;
  };
  const toRest = async (machine: QemuMachine): Promise<Buffer> => {
    await machine.stop();
    return rightRam(machine);
  };
  /** Runs on for some pages, and is right after them. */
  const goesOn = async (machine: QemuMachine): Promise<void> => {
    const before = loopsOf(machine);
    await machine.start();
    await runOn(machine, 5);
    expect((await toRest(machine)).readUInt32LE(PULSE.loops)).toBeGreaterThanOrEqual(before + 5);
  };

  beforeAll(async () => {
    rom = await pulseRomFile();
    root = await mkdtemp(join(tmpdir(), 'vitrine-kvm-'));
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
    profile = pulseProfile(program, rom.bios, { ...PULSE_CPUS.kvm, memoryBytes: MEMORY_BYTES });
    const machine = await open();
    await machine.start();
    await runOn(machine, 10);
    savedRam = await toRest(machine);
    saved = (await machine.machine.save()).snapshot.id;
    await machine.close();
  });
  afterEach(async () => {
    for (const one of closing.splice(0).reverse()) await one.close();
    expect(await readdir(root)).toEqual([]);
  });
  afterAll(async () => {
    await vitrine?.close();
    await rom?.remove();
    if (root !== undefined) await rm(root, { recursive: true, force: true });
  });

  it('does all that is relied on', async () => {
    const tried = { program, accelerator: 'kvm' } as const;
    expect(await selfTest(tried)).toMatchObject({ quickSave: { works: true }, inPlace: { works: true } });
    expect(await provePageMap(tried)).toMatchObject({ works: true });
    // The kernel tells what its processors wrote; nothing else has to watch them.
    expect(await proveLive(tried, root)).toEqual({
      method: 'precopy',
      because: 'precopy: each was one instant',
    });
  });

  it('is saved at rest and running, and goes back to each', async () => {
    const machine = await open();
    await machine.start();
    await runOn(machine, 5);
    const first = await toRest(machine);
    const { snapshot } = await machine.machine.save();
    await goesOn(machine);
    const second = rightRam(machine);
    const report = await machine.machine.save();
    expect(report.pagesChanged).toBeGreaterThan(0);
    expect(report.pagesChanged).toBeLessThan(PAGES / 4);
    await machine.start();
    const running = await machine.machine.save({ live: {} });
    expect(running.live).toMatchObject({ mode: 'stream' });
    expect(await machine.guest.isRunning()).toBe(true);
    await runOn(machine, 5);
    await machine.stop();
    for (const [id, ram] of [
      [snapshot.id, first],
      [running.snapshot.id, undefined],
      [report.snapshot.id, second],
    ] as const) {
      await machine.machine.restore(id);
      const now = rightRam(machine);
      if (ram !== undefined) expect(now.equals(ram)).toBe(true);
      else expect(now.readUInt32LE(PULSE.loops)).toBeGreaterThanOrEqual(second.readUInt32LE(PULSE.loops));
      await goesOn(machine);
    }
    expect(await machine.status()).toMatchObject({ accelerator: 'kvm', said: '' });
  });

  it(`goes back to a checkpoint ${RESETS} times, and its memory and registers are there to look at`, async () => {
    const machine = await open({ snapshot: saved });
    await machine.machine.checkpoint();
    await machine.start();
    for (let round = 0; round < RESETS; round++) await machine.machine.reset();
    await runOn(machine, 3);
    await toRest(machine);
    await machine.machine.reset();
    expect(ramOf(machine).equals(savedRam)).toBe(true);
    await machine.inspect(async ({ memory, registers: [cpu, ...others] }) => {
      expect(others).toEqual([]);
      // Flat, in protected mode, without paging, in its ROM.
      expect(cpu).toMatchObject({ cr3: 0n, efer: 0n });
      expect((cpu?.cr0 ?? 0n) & 0x8000_0001n).toBe(1n);
      expect(cpu?.rip).toBeGreaterThanOrEqual(0xf_f000n);
      const word = await memory.read(PULSE.loops, 4);
      expect(Buffer.from(word).readUInt32LE()).toBe(savedRam.readUInt32LE(PULSE.loops));
    });
    await goesOn(machine);
  });

  it('goes on in a new process, and saved before it ran there it has the clock of before', async () => {
    const devices = await vitrine.devices(saved);
    expect(devices.map(({ name }) => name)).toEqual(expect.arrayContaining(['kvmclock@0', 'cpu@0']));
    const machine = await open({ snapshot: saved });
    expect(ramOf(machine).equals(savedRam)).toBe(true);
    expect(differenceOfDevices(devices, await devicesOf(machine))).toBe('none');
    const again = await machine.machine.save();
    expect(again.pagesChanged).toBe(0);
    expect(differenceOfDevices(devices, await vitrine.devices(again.snapshot.id))).toBe('none');
    await goesOn(machine);
    // From there on it is asked.
    expect(differenceOfDevices(devices, await devicesOf(machine))).not.toBe('none');
    const ram = ramOf(machine);
    const killed = await machine.machine.save();
    process.kill(machine.process.pid, 'SIGKILL');
    expect((await machine.lost).code).toBe('guest-lost');
    await machine.close();
    const next = await open({ snapshot: killed.snapshot.id });
    expect(ramOf(next).equals(ram)).toBe(true);
    await goesOn(next);
  });

  it('goes on in a new process with two processors and their local APICs', async () => {
    const bios = join(root, 'writer.bin');
    await writeFile(bios, hardWriterRom(MEMORY_BYTES));
    try {
      const two = { ...profile, bios, cpu: 'qemu64,-pni', cpus: 2 };
      const machine = await open({}, two);
      const rounds = (writer: QemuMachine) => wordOf(writer, HARD_WRITER.rounds);
      const writesOn = async (writer: QemuMachine) => {
        const from = rounds(writer);
        await writer.start();
        await vi.waitUntil(() => rounds(writer) > from + 1, { timeout: 60_000, interval: 10 });
        await writer.stop();
        expect(hardWriterFault(ramOf(writer))).toBe('none');
      };
      await writesOn(machine);
      const ram = ramOf(machine);
      const { snapshot } = await machine.machine.save();
      const names = (await devicesOf(machine)).map(({ name }) => name);
      expect(names).toEqual(expect.arrayContaining(['cpu@1', 'apic@0', 'apic@1', 'kvmclock@0']));
      await writesOn(machine);
      await machine.machine.restore(snapshot.id);
      expect(ramOf(machine).equals(ram)).toBe(true);
      await writesOn(machine);
      await machine.close();
      const next = await open({ snapshot: snapshot.id }, two);
      expect(ramOf(next).equals(ram)).toBe(true);
      await writesOn(next);
    } finally {
      await rm(bios);
    }
  });

  it('is cloned, moves into a process that tells what it writes, and runs before its RAM is there', async () => {
    const pool = await openClonePool('pulse', profile, vitrine, saved, { root });
    closing.push(pool);
    const clones = await Promise.all([1, 2].map(async () => (await pool.clone()).adopt()));
    const before = await devicesOf(clones[0]!);
    expect(differenceOfDevices(before, await vitrine.devices(saved))).toBe('none');
    for (const clone of clones) {
      expect(ramOf(clone).equals(savedRam)).toBe(true);
      await goesOn(clone);
      expect((await clone.machine.save()).pagesScanned).toBeLessThan(PAGES / 4);
      await clone.machine.restore(saved);
      expect(ramOf(clone).equals(savedRam)).toBe(true);
    }
    const machine = await open({ snapshot: saved, softDirty: false });
    const devices = await devicesOf(machine);
    expect(await machine.quicken()).toMatchObject({ moved: true });
    expect(differenceOfDevices(devices, await devicesOf(machine))).toBe('none');
    await machine.machine.checkpoint();
    await goesOn(machine);
    // The first looks at everything.
    await machine.machine.reset();
    await machine.start();
    expect((await machine.machine.reset()).pagesCompared).toBeLessThan(PAGES / 4);
    await machine.stop();
    await machine.machine.reset();
    expect(ramOf(machine).equals(savedRam)).toBe(true);
    await goesOn(machine);
    const lazy = await openLazyMachine('pulse', profile, vitrine, saved);
    closing.push(lazy);
    await lazy.start();
    const whole = await lazy.whole;
    closing.push(whole.machine);
    await whole.machine.stop();
    await goesOn(whole.machine);
  });

  it('that rests until its RAM is there has the clock of before', async () => {
    const lazy = await openLazyMachine('pulse', profile, vitrine, saved);
    closing.push(lazy);
    const { machine } = await lazy.whole;
    closing.push(machine);
    expect(differenceOfDevices(await devicesOf(machine), await vitrine.devices(saved))).toBe('none');
    expect(ramOf(machine).equals(savedRam)).toBe(true);
    const again = await machine.machine.save();
    expect(differenceOfDevices(await vitrine.devices(again.snapshot.id), await vitrine.devices(saved))).toBe(
      'none',
    );
    await goesOn(machine);
  });

  it('that others started is adopted', async () => {
    const { cpu } = PULSE_CPUS.kvm;
    const theirs = await BareQemu.startPulse(program, (folder) => [
      ...['-accel', 'kvm', '-cpu', cpu, '-machine', 'pc-i440fx-7.2', '-m', '8'],
      ...['-chardev', `socket,id=second,path=${join(folder, 'second')},server=on,wait=off`],
      ...['-mon', 'chardev=second,mode=control'],
    ]);
    closing.push(theirs);
    const attached = await attachQemu('theirs', join(theirs.folder, 'second'), vitrine, { root });
    closing.push({ close: () => attached.detach() });
    expect(attached.guest.machine.config.accelerator).toBe('kvm');
    await runOn(attached, 5);
    await attached.stop();
    const ram = rightRam(attached);
    const { snapshot } = await attached.machine.save();
    await attached.start();
    await runOn(attached, 5);
    await attached.stop();
    await attached.machine.restore(snapshot.id);
    expect(ramOf(attached).equals(ram)).toBe(true);
    await attached.start();
    await runOn(attached, 5);
    await attached.stop();
    rightRam(attached);
  });

  it('and none without it have no snapshots in common, and the field is named', async () => {
    // The same processor, so that nothing else differs.
    const without = { ...profile, accelerator: 'tcg' } as const;
    const machine = await open({}, without);
    const other = (await machine.machine.save()).snapshot.id;
    const refusal = (data: object) => ({ code: 'guest-mismatch', data });
    const field = 'config.accelerator';
    const reason = (work: Promise<unknown>) =>
      work.then(
        () => 'none',
        (error: unknown) => error,
      );
    expect(await reason(machine.machine.restore(saved))).toMatchObject(
      refusal({ field, snapshot: 'kvm', guest: 'tcg' }),
    );
    expect(await reason(open({ snapshot: other }))).toMatchObject(
      refusal({ field, snapshot: 'tcg', guest: 'kvm' }),
    );
    expect(await reason(openClonePool('pulse', without, vitrine, saved, { root }))).toMatchObject(
      refusal({ field }),
    );
    expect(await codeOf(() => openLazyMachine('pulse', without, vitrine, saved))).toBe('guest-mismatch');
    // And it is as it was.
    await goesOnAsBefore(machine);
  });

  async function goesOnAsBefore(machine: QemuMachine): Promise<void> {
    await machine.start();
    await vi.waitUntil(() => loopsOf(machine) > 3, { timeout: 60_000, interval: 10 });
    await toRest(machine);
  }
});

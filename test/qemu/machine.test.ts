// QEMU machines under an engine and a store: saved, gone on, brought back; in the same process, and in a new one after the
// first was killed. Pulse tells by its own rules whether it went on exactly.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import type { DeviceRecord } from '../../src/guest/guest.ts';
import { readRecord, recordOfSection } from '../../src/host/qemu/device-records.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { differenceOfDevices } from '../../src/testing/guest-suites/instant.ts';
import { codeOf, whilePaused } from '../../src/testing/guest-suites/subject.ts';
import { letRun, pulseProfile, pulseRomFile, QEMUS, ramOf, readPulse } from './pulse-machine.ts';

const MEMORY_BYTES = 4 * MIB;

let rom: Awaited<ReturnType<typeof pulseRomFile>>;
let vitrine: Vitrine;
const opened: QemuMachine[] = [];
beforeAll(async () => {
  rom = await pulseRomFile();
  const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
  vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
});
afterEach(async () => {
  for (const machine of opened.splice(0)) await machine.close();
});
afterAll(async () => {
  await vitrine.close();
  await rom.remove();
});

async function open(profile: QemuProfile, snapshot?: string): Promise<QemuMachine> {
  const machine = await openQemuMachine(
    'pulse',
    profile,
    vitrine,
    snapshot === undefined ? {} : { snapshot },
  );
  opened.push(machine);
  return machine;
}

function devicesOf({ guest }: QemuMachine): Promise<DeviceRecord[]> {
  return whilePaused(guest, () => guest.saveDevices());
}

for (const { version, program } of QEMUS) {
  for (const [kind, more] of [
    ['pc', { machine: 'pc' }],
    ['q35 with VGA', { machine: 'q35', display: 'vga' }],
  ] as const satisfies readonly [string, QemuProfile][]) {
    describe(`QEMU ${version}, ${kind}`, () => {
      const profile = () => pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES, ...more });

      it('goes on from a snapshot exactly, in place, as often as one likes', async () => {
        const machine = await open(profile());
        await machine.start();
        await letRun(machine, 20);
        await machine.stop();
        const ram = ramOf(machine);
        const at = await readPulse(machine.guest);
        const devices = await devicesOf(machine);
        const first = await machine.machine.save({ label: 'first' });
        // The save itself changed nothing.
        expect(ramOf(machine).equals(ram)).toBe(true);
        await machine.start();
        await letRun(machine, 40);
        const second = await machine.machine.save({ label: 'second' });
        expect(second.snapshot.statistics.pagesChanged).toBeLessThan(600);
        for (let round = 0; round < 4; round++) {
          await machine.stop();
          await machine.machine.restore(first.snapshot.id);
          expect(ramOf(machine).equals(ram)).toBe(true);
          expect(await readPulse(machine.guest)).toEqual(at);
          expect(differenceOfDevices(devices, await devicesOf(machine))).toBe('none');
          await machine.start();
          const state = await letRun(machine, 20);
          expect(state.loops).toBeGreaterThan(at.loops);
          // Clocks and counters of devices go on too.
          expect(differenceOfDevices(devices, await devicesOf(machine))).not.toBe('none');
          await machine.machine.restore(second.snapshot.id);
          await letRun(machine, 20);
        }
        expect((await machine.status()).said).toBe('');
      });

      it('goes on in a new process after the first was killed', async () => {
        const machine = await open(profile());
        await machine.start();
        await letRun(machine, 20);
        await machine.stop();
        const ram = ramOf(machine);
        const at = await readPulse(machine.guest);
        const snapshot = (await machine.machine.save()).snapshot.id;
        await machine.start();
        process.kill(machine.process.pid, 'SIGKILL');
        expect(await machine.lost).toMatchObject({ code: 'guest-lost', data: { signal: 'SIGKILL' } });
        expect(await codeOf(() => machine.machine.save())).toBe('guest-lost');
        expect((await machine.status()).state).toBe('lost');
        await machine.close();
        const next = await open(profile(), snapshot);
        expect(next.machine.base).toBe(snapshot);
        expect(ramOf(next).equals(ram)).toBe(true);
        expect(await readPulse(next.guest)).toEqual(at);
        await next.start();
        await letRun(next, 300);
      });

      it('goes on as it was when QEMU refuses a state', async () => {
        const { guest } = await open(profile());
        await guest.start();
        await letRun({ guest }, 10);
        await whilePaused(guest, async () => {
          const before = await guest.saveDevices();
          const record = before.find(({ name }) => name === 'serial@0')!;
          const read = readRecord(record);
          if (!('section' in read)) throw new Error('it is a section');
          // Whole by its checksum, and shorter than QEMU wants it.
          const body = read.section.body.slice(0, -1);
          const bad = before.map((one) =>
            one === record ? recordOfSection({ ...read.section, body }) : one,
          );
          const error = await guest.loadDevices(bad).catch((reason: unknown) => reason);
          expect(error).toMatchObject({
            code: 'guest-state-invalid',
            data: { said: expect.stringMatching(/serial/) },
          });
          expect(differenceOfDevices(before, await guest.saveDevices())).toBe('none');
        });
        await letRun({ guest }, 20);
      });

      it('goes back to a checkpoint again and again', async () => {
        const machine = await open(profile());
        await machine.start();
        await letRun(machine, 10);
        await machine.stop();
        const at = await readPulse(machine.guest);
        await machine.machine.checkpoint();
        await machine.start();
        for (let round = 0; round < 50; round++) await machine.machine.reset();
        await machine.stop();
        await machine.machine.reset();
        expect(await readPulse(machine.guest)).toEqual(at);
        await machine.start();
        await letRun(machine, 20);
        expect((await machine.status()).said).toBe('');
      });
    });
  }

  it(`QEMU ${version} refuses a snapshot of another machine and names the field`, async () => {
    const profile = pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES });
    const snapshot = (await (await open(profile)).machine.save()).snapshot.id;
    const fieldOf = async (other: QemuProfile): Promise<unknown> => {
      const error = await open({ ...profile, ...other }, snapshot).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'guest-mismatch' });
      return (error as { data: { field: unknown } }).data.field;
    };
    expect(await fieldOf({ memoryBytes: 8 * MIB })).toBe('config.memoryBytes');
    expect(await fieldOf({ cpu: 'qemu32,-apic' })).toBe('config.cpu');
    expect(await fieldOf({ display: 'vga' })).toBe('config.block.0000:00:02.0/vga.rom');
    expect(await fieldOf({ args: ['-device', 'virtio-rng-pci'] })).toMatch(/^config\.device\..*virtio/);
    expect(await fieldOf({ machine: 'q35' })).toMatch(/^config\./);
  });
}

// A Linux in QEMU through its machine's own turns: firmware that runs, power that goes, a reset, a device that is plugged in. What
// is saved is what the machine is at that moment.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { differenceOfDevices } from '../../src/testing/guest-suites/instant.ts';
import { whilePaused } from '../../src/testing/guest-suites/subject.ts';
import { LINUX_TIMEOUT_MS, linuxProfile, Shell } from './linux-machine.ts';
import { QEMUS } from './pulse-machine.ts';

let vitrine: Vitrine;
const opened: QemuMachine[] = [];
beforeAll(async () => {
  const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
  vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
});
afterEach(async () => {
  for (const machine of opened.splice(0)) await machine.close();
});
afterAll(() => vitrine.close());

async function open(program: string) {
  const machine = await openQemuMachine('linux', linuxProfile(program), vitrine);
  opened.push(machine);
  return { machine, shell: new Shell(machine.serial) };
}

for (const { version, program } of QEMUS) {
  describe(`QEMU ${version}`, () => {
    it('is saved as it is before and after its firmware ran, and comes back after it turned itself off', async () => {
      const { machine, shell } = await open(program);
      expect(machine.guest.savePath.by).toBe('xen-save-devices-state');
      const difference = () =>
        whilePaused(machine.guest, async () => {
          const quick = await machine.guest.saveDevices();
          return differenceOfDevices(quick, await machine.guest.saveDevicesWhole());
        });
      const tables = async () => {
        const records = await whilePaused(machine.guest, () => machine.guest.saveDevices());
        return records.find(({ name }) => name === 'block:/rom@etc/acpi/tables')!.bytes;
      };
      expect(await difference()).toBe('none');
      const unbuilt = await tables();
      await machine.start();
      await shell.untilUp();
      expect(await difference()).toBe('none');
      expect(Buffer.compare(unbuilt, await tables())).not.toBe(0);

      await shell.run('echo kept > /kept');
      const { id } = (await machine.machine.save()).snapshot;
      machine.serial.write('poweroff -f\n');
      const state = async () => (await machine.status()).state;
      await expect.poll(state, { timeout: LINUX_TIMEOUT_MS, interval: 50 }).toBe('shutdown');
      await machine.machine.restore(id);
      expect(await state()).toBe('running');
      shell.forget();
      expect(await shell.run('cat /kept')).toBe('kept');

      shell.forget();
      machine.serial.write('reboot -f\n');
      await shell.untilUp();
      expect(await difference()).toBe('none');
    });

    it('is not saved as what it is not when its devices have changed', async () => {
      const { machine } = await open(program);
      await machine.process.qmp.execute('human-monitor-command', {
        'command-line': 'device_add virtio-rng-pci,id=later',
      });
      const error = await machine.machine.save().catch((reason: unknown) => reason);
      expect(error).toMatchObject({
        code: 'guest-failed',
        data: { devices: [expect.stringMatching(/virtio-rng/)] },
      });
    });
  });
}

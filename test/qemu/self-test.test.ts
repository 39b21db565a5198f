// What is proven of the QEMU at hand before it is trusted, and what follows where it is not.

import { afterEach, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { launchQemu, type QemuProcess } from '../../src/host/qemu/process.ts';
import { openQemuGuest } from '../../src/host/qemu/qemu-guest.ts';
import { selfTest } from '../../src/host/qemu/self-test.ts';
import { differenceOfDevices } from '../../src/testing/guest-suites/instant.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { QEMUS } from './pulse-machine.ts';

const started: QemuProcess[] = [];
afterEach(async () => {
  for (const one of started.splice(0)) await one.close();
});

for (const { version, program } of QEMUS) {
  describe(`QEMU ${version}`, () => {
    it('passes its test, once for all machines', async () => {
      const report = selfTest({ program, accelerator: 'tcg' });
      expect(selfTest({ program, accelerator: 'tcg' })).toBe(report);
      expect(await report).toMatchObject({ quickSave: { works: true }, inPlace: { works: true } });
    });

    it('is served the other way where a way failed', async () => {
      const open = async (options: Parameters<typeof openQemuGuest>[1]) => {
        const machine = await launchQemu('ways', { program, memoryBytes: 4 * MIB });
        started.push(machine);
        return openQemuGuest(machine, options);
      };
      const slow = await open({ quickSave: false, restoreFault: 'seen to fail' });
      expect(slow.savePath.by).toBe('snapshot-save');
      const quick = await open({});
      expect(quick.savePath.by).toBe('xen-save-devices-state');
      await slow.pause();
      await quick.pause();
      const records = await slow.saveDevices();
      // Of one machine: two started at different times, and their clock chips know.
      expect(differenceOfDevices(await quick.saveDevices(), await quick.saveDevicesWhole())).toBe('none');
      expect(await codeOf(() => slow.loadDevices(records))).toBe('unsupported');
      await quick.loadDevices(records);
    });
  });
}

it('is not remembered where there was no QEMU to test', async () => {
  const missing = { program: 'qemu-system-nowhere', accelerator: 'tcg' } as const;
  const first = selfTest(missing);
  expect(await codeOf(() => first)).toBe('guest-start');
  expect(selfTest(missing)).not.toBe(first);
});

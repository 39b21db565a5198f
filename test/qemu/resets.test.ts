// A thousand resets of one machine: each brings back the same instant, and nothing gathers in the process.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { launchQemu } from '../../src/host/qemu/process.ts';
import { openQemuGuest } from '../../src/host/qemu/qemu-guest.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { faultOf, pulseProfile, pulseRomFile, QEMUS, readPulse } from './pulse-machine.ts';

const RESETS = 1000;
/** Every so many the machine runs on for a while before. */
const RUNS_EVERY = 50;

let rom: Awaited<ReturnType<typeof pulseRomFile>>;
beforeAll(async () => {
  rom = await pulseRomFile();
});
afterAll(() => rom.remove());

for (const { version, program } of QEMUS) {
  it(`QEMU ${version} goes back ${RESETS} times`, async () => {
    const process = await launchQemu('resets', pulseProfile(program, rom.bios, { memoryBytes: 4 * MIB }));
    const guest = await openQemuGuest(process);
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    const loops = async (): Promise<number> => (await readPulse(guest)).loops;
    const nodes = async (): Promise<number> =>
      (await process.qmp.execute('query-named-block-nodes', { flat: true })).length;
    try {
      await guest.start();
      await expect.poll(loops, { timeout: 60_000 }).toBeGreaterThan(5);
      await guest.stop();
      const point = await readPulse(guest);
      await tracker.checkpoint();
      await guest.start();
      await tracker.resetToCheckpoint();
      const nodesBefore = await nodes();
      for (let round = 1; round <= RESETS; round++) {
        if (round % RUNS_EVERY === 0) {
          await expect.poll(loops, { timeout: 60_000, interval: 5 }).toBeGreaterThan(point.loops + 4);
          expect(faultOf(await readPulse(guest))).toBe('none');
        }
        await tracker.resetToCheckpoint();
      }
      await guest.stop();
      await tracker.resetToCheckpoint();
      expect(await readPulse(guest)).toEqual(point);
      expect(await nodes()).toBe(nodesBefore);
      expect(process.stderr).toBe('');
    } finally {
      await tracker.close();
    }
  });
}

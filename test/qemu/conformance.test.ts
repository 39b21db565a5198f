// Every guest's contract against real QEMU, with Pulse in it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PULSE } from '../../src/guest/pulse/pulse.ts';
import { launchQemu } from '../../src/host/qemu/process.ts';
import { openQemuGuest } from '../../src/host/qemu/qemu-guest.ts';
import { connectSerial } from '../../src/host/qemu/serial-line.ts';
import { guestConformance, type Subject } from '../../src/testing/guest-conformance.ts';
import { whilePaused } from '../../src/testing/guest-suites/subject.ts';
import { pulseProfile, pulseRomFile, QEMUS } from './pulse-machine.ts';

let rom: Awaited<ReturnType<typeof pulseRomFile>>;
beforeAll(async () => {
  rom = await pulseRomFile();
});
afterAll(() => rom.remove());

/**
 * A machine that was never started. A run lets it go to the end of the next second that Pulse reports on its serial line:
 * pages written and their checksum, the same from the same state wherever in the second that was.
 */
async function openSubject(program: string): Promise<Subject> {
  const process = await launchQemu('conformance', pulseProfile(program, rom.bios));
  const guest = await openQemuGuest(process);
  const serial = await connectSerial(process.files);
  let output = '';
  serial.onOutput((bytes) => {
    output += Buffer.from(bytes).toString('latin1');
  });
  const run = async (): Promise<string> => {
    const second = await whilePaused(guest, async () => {
      const word = new Uint8Array(4);
      await guest.readPages({ region: 0, offsetBytes: PULSE.seconds, lengthBytes: 4 }, word);
      return new DataView(word.buffer).getUint32(0, true);
    });
    // What it wrote before is here by now, since QEMU answered after it; it may be of a time that was taken back.
    output = '';
    const report = new RegExp(`up ${second + 1} loops[^\\n]*\\n`);
    await guest.start();
    await expect.poll(() => report.test(output), { timeout: 60_000, interval: 5 }).toBe(true);
    await guest.stop();
    return report.exec(output)![0].trim();
  };
  return { guest, run, exact: false };
}

for (const { version, program } of QEMUS) {
  guestConformance(`QEMU ${version}`, () => openSubject(program), { describe, expect, it });
}

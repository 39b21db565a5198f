// Tries, on the QEMU and the kernel that are here, whether a processor comes up as an operating system needs it: through protected
// and long mode, and between user mode and the kernel. That there is a `/dev/kvm` says nothing of it: some hosts have one that
// runs real mode and no Linux. Done once a process for each program and accelerator; a tenth of a second where it works.

import { isVitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import { BOOT_STEP_NAMES, BOOT_STEPS, bootStepsRom } from './boot-steps.ts';
import type { QemuProcess } from './process.ts';
import { RamFile } from './ram-file.ts';
import type { Verdict } from './self-test.ts';
import { onceForEach, type Tried, withTrialMachine } from './trial.ts';

const MEMORY_BYTES = 4 * MIB;
/** How often it has to come back to user mode. */
const ROUNDS = 100;
/** For what neither ends nor begins anew. It takes so long once, where KVM is wanted and stands still. */
const TIMEOUT_MS = 5_000;

/** Tries a profile's program and accelerator; the second time it knows. Throws `guest-start` when QEMU does not start. */
export const tryBoot = onceForEach(hold);

function hold({ program, accelerator }: Tried, root: string | undefined): Promise<Verdict> {
  const profile = { program, accelerator, memoryBytes: MEMORY_BYTES };
  return withTrialMachine('boot', bootStepsRom(), profile, root, watch);
}

async function watch({ qmp, files }: QemuProcess): Promise<Verdict> {
  const ram = new RamFile(files.ram, MEMORY_BYTES);
  let ended: string | undefined;
  const leave = qmp.onEvent(({ event }) => {
    // A processor that is at its wit's end resets the machine, or KVM gives up.
    if (event === 'RESET') ended ??= 'the machine was reset';
    if (event === 'STOP') ended ??= 'the machine stopped';
  });
  const word = (address: number): number => {
    const bytes = Buffer.alloc(4);
    ram.read(address, bytes);
    return bytes.readUInt32LE();
  };
  try {
    await qmp.execute('cont');
    const until = Date.now() + TIMEOUT_MS;
    while (ended === undefined && word(BOOT_STEPS.rounds) < ROUNDS) {
      if (Date.now() > until) ended = 'it stood still';
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    if (ended === undefined) return { works: true, because: 'it came up to user mode in long mode' };
    const steps = word(BOOT_STEPS.steps);
    const missing = BOOT_STEP_NAMES.find((_, bit) => (steps & (1 << bit)) === 0);
    return { works: false, because: `${ended} on its way to ${missing ?? 'what comes after'}` };
  } catch (error) {
    if (!isVitrineError(error)) throw error;
    return { works: false, because: error.message };
  } finally {
    leave();
    ram.close();
  }
}

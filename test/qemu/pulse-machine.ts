// Pulse in a real QEMU.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import type { Guest } from '../../src/guest/guest.ts';
import { PULSE_FACTS, pulseRom } from '../../src/guest/pulse/pulse.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import type { QemuGuest } from '../../src/host/qemu/qemu-guest.ts';
import { findQemus, pageFaultsFault } from '../setup/qemu.mjs';
import { faultOf, type PulseState, readPulse } from './pulse-state.ts';

export { faultOf, type PulseState, randomAfter, readPulse, xorshift } from './pulse-state.ts';

export interface FoundQemu {
  readonly version: string;
  readonly program: string;
  readonly image: string;
}

/** Every QEMU of this machine; none is a failure and not a way to pass. */
export const QEMUS: readonly FoundQemu[] = findQemus();
if (QEMUS.length === 0) throw new Error('these tests need QEMU: test/setup/qemu.mjs says how to get it');

/** Why no QEMU serves page faults by itself here; undefined where each does. The lane says so where it begins. */
export const NO_PAGE_FAULTS: string | undefined = QEMUS.map(({ program }) => pageFaultsFault(program)).find(
  (fault) => fault !== undefined,
);

/** Pulse knows the old interrupt controllers alone; firmware would let them through the local APIC. */
export const PULSE_CPUS = {
  tcg: { accelerator: 'tcg', cpu: 'qemu64,-apic' },
  // Without SSE3, of which QEMU says at each start that a host has it not.
  kvm: { accelerator: 'kvm', cpu: 'qemu64,-apic,-pni' },
} as const satisfies Record<string, QemuProfile>;

/** `VITRINE_ACCEL=kvm npx vitest run --project qemu test/qemu/machine.test.ts`: tests by another accelerator. */
export const ACCELERATOR = process.env.VITRINE_ACCEL === 'kvm' ? 'kvm' : 'tcg';

/** A directory with Pulse's ROM in it, and what removes it. */
export async function pulseRomFile(): Promise<{
  readonly bios: string;
  readonly remove: () => Promise<void>;
}> {
  const directory = await mkdtemp(join(tmpdir(), 'vitrine-pulse-'));
  const bios = join(directory, 'pulse.bin');
  await writeFile(bios, pulseRom());
  return { bios, remove: () => rm(directory, { recursive: true, force: true }) };
}

export function pulseProfile(program: string, bios: string, more: QemuProfile = {}): QemuProfile {
  return { program, bios, ...PULSE_CPUS[ACCELERATOR], memoryBytes: PULSE_FACTS.memoryBytes, ...more };
}

/** Waits until a machine that runs has written so many more pages; what it then holds is exact, or the test ends here. */
export async function letRun({ guest }: { readonly guest: Guest }, loops: number): Promise<PulseState> {
  const before = (await readPulse(guest)).loops;
  let state = await readPulse(guest);
  const isThere = async (): Promise<boolean> => {
    state = await readPulse(guest);
    return state.loops - before >= loops;
  };
  await vi.waitUntil(isThere, { timeout: 60_000, interval: 20 });
  expect(faultOf(state)).toBe('none');
  return state;
}

/** All of the first region as it is, also while it runs. */
export function ramOf({ guest }: { readonly guest: QemuGuest }): Buffer {
  const bytes = Buffer.alloc(guest.regions[0]!.sizeBytes);
  guest.readTorn({ region: 0, offsetBytes: 0, lengthBytes: bytes.length }, bytes);
  return bytes;
}

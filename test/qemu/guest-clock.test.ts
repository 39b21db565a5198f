// The time stamp counter of a machine that goes back in its process: its program reads it over and over and notes the longest step from one
// reading to the next. Going back is no step for it.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { whilePaused } from '../../src/testing/guest-suites/subject.ts';
import { QEMUS, ramOf } from './pulse-machine.ts';

const NOW = 0x900;
const LONGEST = 0x908;
/** Real mode, at f000:0000. */
const PROGRAM =
  'fa31c08ed8' + // cli; xor ax,ax; mov ds,ax
  '0f316689c66689d7' + // rdtsc; mov esi,eax; mov edi,edx
  '0f316689c36689d1' + // next: rdtsc; mov ebx,eax; mov ecx,edx
  '6629f06619fa' + // sub eax,esi; sbb edx,edi
  '6689de6689cf' + // mov esi,ebx; mov edi,ecx
  '66891e000966890e0409' + // mov [900h],ebx; mov [904h],ecx
  '663b160c09770972d9' + // cmp edx,[90ch]; ja longer; jb next
  '663b06080976d2' + // cmp eax,[908h]; jbe next
  '66a308096689160c09ebc7'; // longer: mov [908h],eax; mov [90ch],edx; jmp next
/** Some seconds on processors of today. */
const LONG = 6_000_000_000n;

describe.each(QEMUS)('the counter of a machine in QEMU $version', ({ program }) => {
  let root: string;
  let bios: string;
  let vitrine: Vitrine;
  const machines: QemuMachine[] = [];

  const open = async (snapshot?: string): Promise<QemuMachine> => {
    const profile = { program, bios, cpu: 'qemu64', cpus: 2, memoryBytes: 8 * MIB };
    const options = snapshot === undefined ? { root } : { root, snapshot };
    const machine = await openQemuMachine('clock', profile, vitrine, options);
    machines.push(machine);
    return machine;
  };
  const word = (machine: QemuMachine, at: number): bigint => ramOf(machine).readBigUInt64LE(at);
  const runUntil = async (machine: QemuMachine, ticks: bigint): Promise<void> => {
    await machine.start();
    await vi.waitUntil(() => word(machine, NOW) >= ticks, { timeout: 60_000, interval: 20 });
    await machine.stop();
  };
  const devicesOf = ({ guest }: QemuMachine) => whilePaused(guest, () => guest.saveDevices());
  /** Runs on a little, and what was the longest step on the way. */
  const stepBehind = async (machine: QemuMachine, from: bigint): Promise<bigint> => {
    const before = word(machine, LONGEST);
    expect(word(machine, NOW)).toBe(from);
    await runUntil(machine, from + 1n);
    const longest = word(machine, LONGEST);
    return longest === before ? 0n : longest;
  };

  beforeAll(async () => {
    root = await mkdtemp('/dev/shm/vitrine-clock-');
    bios = join(root, 'clock.bin');
    const rom = new Uint8Array(65_536).fill(0xff);
    rom.set(Buffer.from(PROGRAM, 'hex'));
    rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
    await writeFile(bios, rom);
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
  });
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.close();
  });
  afterAll(async () => {
    await vitrine?.close();
    await rm(root, { recursive: true, force: true });
  });

  it('goes back with it, over restores and resets, and its snapshots know nothing of that', async () => {
    const machine = await open();
    await runUntil(machine, 1n);
    const from = word(machine, NOW);
    expect(word(machine, LONGEST)).toBeGreaterThan(0n);
    const { snapshot } = await machine.machine.save();
    await machine.machine.checkpoint();
    const devices = await devicesOf(machine);
    const steps: bigint[] = [];
    for (const way of ['restore', 'reset', 'reset'] as const) {
      await runUntil(machine, from + LONG);
      if (way === 'restore') await machine.machine.restore(snapshot.id);
      else await machine.machine.reset();
      expect(await devicesOf(machine)).toEqual(devices);
      steps.push(await stepBehind(machine, from));
    }
    // A host that has much to do may not let it run for as long once.
    const shortest = steps.reduce((least, step) => (step < least ? step : least));
    expect(shortest).toBeLessThan(LONG / 2n);
    const later = word(machine, NOW);
    const again = await machine.machine.save();
    const other = await open(again.snapshot.id);
    expect(await stepBehind(other, later)).toBeLessThan(LONG);
  });
});

// Machines that run before their RAM is there: pages come from the store as they are touched, and what goes wrong ends the machine
// with a code and never hangs it.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { VitrineError } from '../../src/base/error.ts';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import {
  type LazyMachine,
  type LazyMachineOptions,
  openLazyMachine,
} from '../../src/host/qemu/lazy-machine.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { faultOf, NO_PAGE_FAULTS, pulseProfile, pulseRomFile, QEMUS, readPulse } from './pulse-machine.ts';

const MEMORY_BYTES = 64 * MIB;
const PAGES = MEMORY_BYTES / 4096;

// Pages that come as they are touched are userfaultfd's, which not everybody may use.
describe.skipIf(NO_PAGE_FAULTS).each(QEMUS)('a lazy machine of QEMU $version', ({ program }) => {
  let rom: Awaited<ReturnType<typeof pulseRomFile>>;
  let folder: string;
  let vitrine: Vitrine;
  let profile: QemuProfile;
  let snapshot: string;
  let loopsThen: number;
  let ramThen: Uint8Array;
  const opened: (LazyMachine | QemuMachine)[] = [];

  const open = async (options: LazyMachineOptions = {}, engine = vitrine): Promise<LazyMachine> => {
    const machine = await openLazyMachine('pulse', profile, engine, snapshot, options);
    opened.push(machine);
    return machine;
  };

  beforeAll(async () => {
    rom = await pulseRomFile();
    folder = await mkdtemp(join(tmpdir(), 'vitrine-lazy-'));
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
    profile = pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES, display: 'vga' });
    const first = await openQemuMachine('pulse', profile, vitrine);
    await first.start();
    await vi.waitUntil(async () => (await readPulse(first.guest)).loops >= 20, {
      timeout: 60_000,
      interval: 20,
    });
    await first.stop();
    snapshot = (await first.machine.save()).snapshot.id;
    loopsThen = (await readPulse(first.guest)).loops;
    ramThen = ramOf(first);
    await first.close();
  });
  afterEach(async () => {
    for (const machine of opened.splice(0)) await machine.close();
  });
  afterAll(async () => {
    await vitrine?.close();
    await rom.remove();
    await rm(folder, { recursive: true, force: true });
  });

  it('rests with the RAM of the snapshot once it is whole, and goes on from there', async () => {
    const lazy = await open();
    const { machine, report } = await lazy.whole;
    opened.push(machine);
    expect(Buffer.compare(ramOf(machine), ramThen)).toBe(0);
    expect((await readPulse(machine.guest)).loops).toBe(loopsThen);
    expect(report.sentCount).toBeGreaterThan(PAGES);
    await machine.start();
    await expectLoops(machine, loopsThen + 300);
    // It is a machine as any other.
    const next = (await machine.machine.save()).snapshot.id;
    await machine.machine.restore(snapshot);
    expect((await readPulse(machine.guest)).loops).toBeGreaterThanOrEqual(loopsThen);
    await machine.machine.restore(next);
    await expectLoops(machine, loopsThen + 400);
  });

  it('runs on a few of its pages, and needs fewer waits the next time', async () => {
    const first = await open({ onlyTouched: true, touchFolder: folder });
    await first.start();
    // Each tick touches pages; the working set and what it stands on are a small part of its memory.
    await expect.poll(() => first.sentCount, { timeout: 60_000, interval: 20 }).toBeGreaterThan(150);
    const asked = first.askedCount;
    expect(first.sentCount).toBe(asked);
    expect(asked).toBeLessThan(PAGES / 10);
    await first.close();
    const second = await open({ onlyTouched: true, touchFolder: folder });
    await second.start();
    await expect
      .poll(() => second.sentCount, { timeout: 60_000, interval: 20 })
      .toBeGreaterThanOrEqual(asked);
    expect(second.askedCount).toBeLessThan(asked / 2);
  });

  it('runs while its pages come', async () => {
    const lazy = await open({ touchFolder: folder });
    await lazy.start();
    const { machine } = await lazy.whole;
    opened.push(machine);
    expect(await machine.guest.isRunning()).toBe(true);
    await expectLoops(machine, loopsThen + 300);
  });

  it('is lost with the reason when the store fails', async () => {
    let left = 40;
    const failing = withPeek(vitrine, (...args) => {
      if (--left < 0) throw new VitrineError('store-io', { why: 'pulled out' });
      return vitrine.peek(...args);
    });
    const lazy = await open({}, failing);
    const started = codeOf(() => lazy.start());
    expect(await codeOf(() => lazy.whole)).toBe('store-io');
    expect(await started).toBeOneOf(['none', 'guest-lost', 'guest-closed', 'store-io']);
    await lazy.close();
    expect(() => process.kill(lazy.pid, 0)).toThrow('ESRCH');
  });

  it('is lost when its process is killed midway', async () => {
    const lazy = await open({ onlyTouched: true });
    await lazy.start();
    await expect.poll(() => lazy.sentCount, { timeout: 60_000, interval: 20 }).toBeGreaterThan(20);
    process.kill(lazy.pid, 'SIGKILL');
    expect(await codeOf(() => lazy.whole)).toBe('guest-lost');
    await lazy.close();
  });

  it('is closed midway at once', async () => {
    const lazy = await open({ onlyTouched: true });
    await lazy.start();
    await lazy.close();
    expect(await codeOf(() => lazy.whole)).toBe('guest-closed');
    expect(() => process.kill(lazy.pid, 0)).toThrow('ESRCH');
  });

  it('is refused for a snapshot of another machine', async () => {
    const other = { ...profile, memoryBytes: 32 * MIB };
    const refused = codeOf(() => openLazyMachine('pulse', other, vitrine, snapshot));
    expect(await refused).toBe('guest-mismatch');
    const withoutDisplay = { ...profile, display: 'none' } as const;
    const lost = codeOf(() => openLazyMachine('pulse', withoutDisplay, vitrine, snapshot));
    expect(await lost).toBe('guest-state-invalid');
  });
});

async function expectLoops({ guest }: QemuMachine, loops: number): Promise<void> {
  await expect
    .poll(async () => (await readPulse(guest)).loops, { timeout: 60_000, interval: 20 })
    .toBeGreaterThanOrEqual(loops);
  expect(faultOf(await readPulse(guest))).toBe('none');
}

function ramOf({ guest }: QemuMachine): Buffer {
  const bytes = Buffer.alloc(MEMORY_BYTES);
  guest.readTorn({ region: 0, offsetBytes: 0, lengthBytes: bytes.length }, bytes);
  return bytes;
}

/** An engine that reads its snapshots' memory in another way. */
function withPeek(vitrine: Vitrine, peek: Vitrine['peek']): Vitrine {
  const engine = {
    show: (id: string) => vitrine.show(id),
    devices: (id: string) => vitrine.devices(id),
    adopt: vitrine.adopt.bind(vitrine),
    peek: async (...args: Parameters<Vitrine['peek']>) => peek(...args),
  };
  // Safe: a lazy machine calls nothing else.
  return engine as unknown as Vitrine;
}

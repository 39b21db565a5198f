// Saves of a QEMU machine that runs on: what is saved is one instant, from which Pulse goes on by its own rules, and it is saved
// again and again, given up half-way, and killed.

import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { HARD_WRITER, hardWriterFault, hardWriterRom } from '../../src/host/qemu/hard-writer.ts';
import { streamLive } from '../../src/host/qemu/live-stream.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import {
  openQemuMachine,
  type QemuMachine,
  type QemuMachineOptions,
} from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import {
  faultOf,
  letRun,
  NO_PAGE_FAULTS,
  pulseProfile,
  pulseRomFile,
  QEMUS,
  ramOf,
  readPulse,
} from './pulse-machine.ts';

const MEMORY_BYTES = 16 * MIB;

/** How long reading all memory takes whoever reads slowly. */
const SLOW_MS = 1500;
/** Eleven where each is twice as long as the one before. */
const MOST_RESTS = 8;

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

/** Takes pages as they come, each in its time. */
function slowly(): () => undefined | Promise<void> {
  let dueMs = 0;
  let waiting: Promise<void> | undefined;
  return () => {
    dueMs = Math.max(dueMs, performance.now()) + (SLOW_MS * 4096) / MEMORY_BYTES;
    waiting ??= vi
      .waitUntil(() => performance.now() >= dueMs, { timeout: 60_000, interval: 2 })
      .then(() => {
        waiting = undefined;
      });
    return waiting;
  };
}

/** A machine that runs, at so many pages of work. */
async function openRunning(
  profile: QemuProfile,
  loops: number,
  options: Pick<QemuMachineOptions, 'mostCopiedBytes' | 'root'> = {},
): Promise<QemuMachine> {
  const machine = await openQemuMachine('pulse', profile, vitrine, options);
  opened.push(machine);
  await machine.start();
  await letRun(machine, loops);
  return machine;
}

for (const { version, program } of QEMUS) {
  for (const [kind, more, options] of [
    ['pc', { machine: 'pc' }, {}],
    ['pc as if it were large', { machine: 'pc' }, { mostCopiedBytes: 0 }],
    ['q35 with VGA', { machine: 'q35', display: 'vga' }, {}],
  ] as const satisfies readonly [string, QemuProfile, QemuMachineOptions][]) {
    // Without KVM a machine that runs is watched by userfaultfd, which not everybody may use.
    describe.skipIf(NO_PAGE_FAULTS)(`QEMU ${version}, ${kind}, saved while it runs`, () => {
      const profile = () => pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES, ...more });

      it('is one instant each time, and goes on from each', async () => {
        const machine = await openRunning(profile(), 20, options);
        const saves = [];
        for (let round = 0; round < 4; round++) {
          const before = (await readPulse(machine.guest)).loops;
          const report = await machine.machine.save({ live: {} });
          expect(report.live).toMatchObject({ mode: 'stream' });
          expect(await machine.guest.isRunning()).toBe(true);
          const after = (await letRun(machine, 5)).loops;
          saves.push({ id: report.snapshot.id, before, after });
        }
        for (const { id, before, after } of saves.reverse()) {
          await machine.stop();
          await machine.machine.restore(id);
          const at = await readPulse(machine.guest);
          expect(faultOf(at)).toBe('none');
          expect(at.loops).toBeGreaterThanOrEqual(before);
          expect(at.loops).toBeLessThan(after);
          // What was restored is all there is: a save at rest finds nothing else.
          const again = await machine.machine.save();
          expect(again.pagesChanged).toBe(0);
          await machine.start();
          await letRun(machine, 20);
        }
        expect((await machine.status()).said).toBe('');
      });

      it('runs on when a save is given up, and the next one has everything', async () => {
        const machine = await openRunning(profile(), 10, options);
        await machine.machine.save();
        await letRun(machine, 10);
        for (const phase of ['before', 'meanwhile'] as const) {
          const giveUp = new AbortController();
          if (phase === 'before') giveUp.abort();
          const saving = machine.machine.save({ live: {}, signal: giveUp.signal });
          if (phase === 'meanwhile') setImmediate(() => giveUp.abort());
          expect(await codeOf(() => saving)).toBe('aborted');
          expect(await machine.guest.isRunning()).toBe(true);
          await letRun(machine, 5);
        }
        await machine.stop();
        const ram = ramOf(machine);
        const { snapshot } = await machine.machine.save();
        await machine.start();
        await letRun(machine, 10);
        await machine.stop();
        await machine.machine.restore(snapshot.id);
        expect(ramOf(machine).equals(ram)).toBe(true);
        await machine.start();
        await letRun(machine, 10);
      });
    });
  }

  // Without KVM a machine that runs is watched by userfaultfd, which not everybody may use.
  it.skipIf(NO_PAGE_FAULTS).each([
    ['', {}],
    [' as if it were large', { mostCopiedBytes: 0 }],
  ])(`QEMU ${version}%s is saved as one instant while it writes all its memory`, async (_, options) => {
    const directory = await mkdtemp(join(tmpdir(), 'vitrine-writer-'));
    try {
      const bios = join(directory, 'writer.bin');
      await writeFile(bios, hardWriterRom(MEMORY_BYTES));
      const profile = pulseProfile(program, bios, { memoryBytes: MEMORY_BYTES });
      const machine = await openQemuMachine('writer', profile, vitrine, options);
      opened.push(machine);
      await machine.start();
      const roundsOf = (ram: Buffer) => ram.readUInt32LE(HARD_WRITER.rounds);
      const goOn = async (from: number) =>
        expect.poll(() => roundsOf(ramOf(machine)), { timeout: 60_000 }).toBeGreaterThan(from + 2);
      await goOn(0);
      for (let round = 0; round < 3; round++) {
        const before = roundsOf(ramOf(machine));
        const { live, snapshot } = await machine.machine.save({ live: {} });
        expect(live).toMatchObject({ mode: 'stream' });
        await goOn(roundsOf(ramOf(machine)));
        await machine.stop();
        await machine.machine.restore(snapshot.id);
        const ram = ramOf(machine);
        expect(hardWriterFault(ram)).toBe('none');
        expect(roundsOf(ram)).toBeGreaterThanOrEqual(before);
        await machine.start();
        await goOn(roundsOf(ram));
        await machine.stop();
        expect(hardWriterFault(ramOf(machine))).toBe('none');
        await machine.start();
      }
      // Given up while nearly all of its memory is still to be sent, and watched for that.
      const giveUp = new AbortController();
      const told = () => giveUp.abort();
      expect(await codeOf(() => machine.guest.streamInstant(told, giveUp.signal))).toBe('aborted');
      await goOn(roundsOf(ramOf(machine)));
      expect((await machine.machine.save({ live: {} })).live).toMatchObject({ mode: 'stream' });
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  // Without KVM a machine that runs is watched by userfaultfd, which not everybody may use.
  it.skipIf(NO_PAGE_FAULTS)(
    `QEMU ${version} with RAM on a disk is not asked for what it could only abort at`,
    async () => {
      const profile = pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES });
      // Proven where memory is files in memory, which says nothing of files elsewhere.
      const usual = await openRunning(profile, 5);
      expect((await usual.machine.save({ live: {} })).live).toMatchObject({ mode: 'stream' });
      const root = await mkdtemp(join(tmpdir(), 'vitrine-disk-'));
      try {
        const machine = await openRunning(profile, 5, { root });
        for (let round = 0; round < 2; round++) {
          const { live } = await machine.machine.save({ live: {} });
          const isMemory =
            (await statfs(root)).type === (await statfs(dirname(usual.process.files.ram))).type;
          if (isMemory) expect(live).toMatchObject({ mode: 'stream' });
          else
            expect(live).toMatchObject({
              mode: 'stopped',
              reason: expect.stringContaining('background-snapshot: '),
            });
          expect(await machine.guest.isRunning()).toBe(true);
          await letRun(machine, 5);
        }
        await machine.close();
      } finally {
        await rm(root, { recursive: true, force: true });
      }
    },
  );

  it(`QEMU ${version} says itself why it broke a stream off`, async () => {
    const profile = pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES });
    const machine = await openRunning(profile, 10);
    const { qmp, files } = machine.process;
    // As an operator cuts off what hangs; it is not at its end before that.
    const atInstant = async () => {
      await qmp.execute('yank', { instances: [{ type: 'migration' }] });
    };
    const streaming = streamLive(qmp, files.directory, 'precopy', { onPage: () => {} }, { atInstant });
    expect(await codeOf(() => streaming)).toBe('guest-failed');
    expect(await machine.guest.isRunning()).toBe(true);
    await letRun(machine, 5);
    const { live } = await machine.machine.save({ live: {} });
    expect(live).toMatchObject({ mode: NO_PAGE_FAULTS === undefined ? 'stream' : 'stopped' });
  });

  it(`QEMU ${version} that writes all its memory before it is read rests as long as reading it takes`, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'vitrine-writer-'));
    try {
      const bios = join(directory, 'writer.bin');
      await writeFile(bios, hardWriterRom(MEMORY_BYTES));
      const machine = await openQemuMachine(
        'writer',
        pulseProfile(program, bios, { memoryBytes: MEMORY_BYTES }),
        vitrine,
      );
      opened.push(machine);
      await machine.start();
      const { qmp, files } = machine.process;
      const execute = vi.spyOn(qmp, 'execute');
      const { pauseMs } = await streamLive(qmp, files.directory, 'precopy', { onPage: slowly() });
      expect(pauseMs).toBeGreaterThan(SLOW_MS / 4);
      // It was not tried with every shorter rest before.
      const longer = execute.mock.calls.filter(([command]) => command === 'migrate-set-parameters');
      expect(longer.length).toBeLessThanOrEqual(MOST_RESTS);
      expect(await machine.guest.isRunning()).toBe(true);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  it(`QEMU ${version} is saved at rest when it does not run`, async () => {
    const profile = pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES });
    const machine = await openRunning(profile, 10);
    await machine.stop();
    const { live } = await machine.machine.save({ live: {} });
    expect(live).toMatchObject({ mode: 'stopped', reason: 'it does not run' });
    expect(await machine.guest.isRunning()).toBe(false);
  });

  it.each([
    ['', {}],
    [' as if it were large', { mostCopiedBytes: 0 }],
  ])(
    `QEMU ${version}%s that is killed while it is saved is lost, and its snapshots are not`,
    async (_, options) => {
      const profile = pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES });
      const machine = await openRunning(profile, 10, options);
      const kept = await machine.machine.save({ live: {} });
      const saving = machine.machine.save({ live: {} });
      process.kill(machine.process.pid, 'SIGKILL');
      expect(await codeOf(() => saving)).toBe('guest-lost');
      await machine.close();
      expect((await vitrine.log()).map(({ id }) => id)).toContain(kept.snapshot.id);
      const other = await openQemuMachine('other', profile, vitrine, { snapshot: kept.snapshot.id });
      opened.push(other);
      await other.start();
      await letRun(other, 10);
    },
  );
}

// Saves of clones and of machines that moved, while they run: what is saved is one instant of a program that writes all its memory; the
// machine and its snapshots go on from there, and the image is as it was.

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { openClonePool } from '../../src/host/qemu/clone-pool.ts';
import { HARD_WRITER, hardWriterFault, hardWriterRom } from '../../src/host/qemu/hard-writer.ts';
import { provePrivateLive } from '../../src/host/qemu/live-proof.ts';
import { type QemuProfile, resolveProfile } from '../../src/host/qemu/profile.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import {
  letRun,
  NO_PAGE_FAULTS,
  pulseProfile,
  pulseRomFile,
  QEMUS,
  ramOf,
  readPulse,
} from './pulse-machine.ts';

const MEMORY_BYTES = 32 * MIB;
const PAGES = MEMORY_BYTES / 4096;

const roundsIn = (ram: Buffer) => ram.readUInt32LE(HARD_WRITER.rounds);

// Without KVM a machine that runs is watched by userfaultfd, which not everybody may use.
describe.skipIf(NO_PAGE_FAULTS).each(QEMUS)('in QEMU $version, saved while it runs,', ({ program }) => {
  let folder: string;
  let root: string;
  let vitrine: Vitrine;
  let profile: QemuProfile;
  const opened: { close(): Promise<void> }[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-writer-'));
    root = await mkdtemp('/dev/shm/vitrine-live-');
    const bios = join(folder, 'writer.bin');
    await writeFile(bios, hardWriterRom(MEMORY_BYTES));
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
    profile = pulseProfile(program, bios, { memoryBytes: MEMORY_BYTES });
  });
  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close();
    expect(await readdir(root)).toEqual([]);
  });
  afterAll(async () => {
    await vitrine?.close();
    for (const path of [folder, root]) await rm(path, { recursive: true, force: true });
  });

  const open = async (made = profile) => {
    const machine = await openQemuMachine('writer', made, vitrine, { root });
    opened.push(machine);
    await machine.start();
    return machine;
  };
  const untilRounds = (machine: QemuMachine, rounds: number) =>
    expect.poll(() => roundsIn(ramOf(machine)), { timeout: 60_000, interval: 20 }).toBeGreaterThan(rounds);
  /** Saved so often while it runs; each is one instant, and the machine goes on from it and behind it. */
  const proveSaves = async (machine: QemuMachine, times: number): Promise<string> => {
    const saved: string[] = [];
    let before = -1;
    for (let time = 0; time < times; time++) {
      const { live, snapshot } = await machine.machine.save({ live: {} });
      expect(live).toMatchObject({ mode: 'stream' });
      expect(live!.pauseMs).toBeGreaterThan(0);
      expect(await machine.guest.isRunning()).toBe(true);
      saved.push(snapshot.id);
      await untilRounds(machine, roundsIn(ramOf(machine)) + 1);
    }
    await machine.stop();
    expect(hardWriterFault(ramOf(machine))).toBe('none');
    for (const id of saved) {
      await machine.machine.restore(id);
      const ram = ramOf(machine);
      expect(hardWriterFault(ram)).toBe('none');
      expect(roundsIn(ram)).toBeGreaterThan(before);
      before = roundsIn(ram);
      // Its mirror holds all of it.
      expect((await machine.machine.save()).pagesChanged).toBe(0);
      await machine.start();
      await untilRounds(machine, before + 1);
      await machine.stop();
      expect(hardWriterFault(ramOf(machine))).toBe('none');
    }
    return saved[0]!;
  };

  it('a clone is one instant', async () => {
    const first = await open();
    await untilRounds(first, 1);
    await first.stop();
    const { id } = (await first.machine.save()).snapshot;
    const ram = ramOf(first);
    const pool = await openClonePool('writer', profile, vitrine, id, { root, spare: 0 });
    opened.push(pool);
    expect(await provePrivateLive(resolveProfile(profile), root)).toHaveProperty('method');
    const [one, other] = [await pool.clone(), await pool.clone()];
    const machine = await one.adopt();
    await machine.machine.standOn(id);
    await machine.start();
    await untilRounds(machine, roundsIn(ram));
    const saved = await proveSaves(machine, 2);
    expect(ramOf(await other.adopt()).equals(ram)).toBe(true);
    // In a new process, which has RAM of its own.
    const next = await openQemuMachine('next', profile, vitrine, { root, snapshot: saved });
    opened.push(next);
    expect(hardWriterFault(ramOf(next))).toBe('none');
    await next.start();
    await untilRounds(next, roundsIn(ramOf(next)) + 1);
  });

  it('a machine that moved is one instant', async () => {
    const machine = await open();
    await untilRounds(machine, 1);
    await machine.machine.save();
    await machine.quicken();
    await untilRounds(machine, roundsIn(ramOf(machine)));
    await proveSaves(machine, 1);
  });

  it('one that wrote little is saved at rest, which is shorter, and all of one that moved is streamed once', async () => {
    const rom = await pulseRomFile();
    opened.push({ close: rom.remove });
    const machine = await open(pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES }));
    await letRun(machine, 20);
    await machine.quicken();
    const report = await machine.machine.save({ live: {} });
    expect(report.live).toMatchObject({ mode: 'stream' });
    await letRun(machine, 20);
    // What it wrote is told now: neither saves nor resets look at all of it.
    await machine.machine.checkpoint();
    const few = await machine.machine.save({ live: {} });
    expect(few.live).toMatchObject({
      mode: 'stopped',
      reason: expect.stringMatching(/^a rest is shorter: it wrote \d+ pages/),
    });
    expect(few.pagesScanned).toBeLessThan(PAGES / 8);
    expect((await machine.machine.reset()).pagesCompared).toBeLessThan(PAGES / 8);
    await machine.stop();
    await machine.machine.restore(report.snapshot.id);
    const at = await readPulse(machine.guest);
    await machine.start();
    await letRun(machine, at.loops + 20);
  });

  it('a clone goes on when a save is given up, and the next one has everything', async () => {
    const first = await open();
    await first.stop();
    const { id } = (await first.machine.save()).snapshot;
    const pool = await openClonePool('writer', profile, vitrine, id, { root, spare: 0 });
    opened.push(pool);
    const machine = await (await pool.clone()).adopt();
    await machine.start();
    await untilRounds(machine, 0);
    const giveUp = new AbortController();
    const told = () => giveUp.abort();
    expect(await codeOf(() => machine.guest.streamInstant(told, giveUp.signal))).toBe('aborted');
    await untilRounds(machine, roundsIn(ramOf(machine)));
    const { live, snapshot } = await machine.machine.save({ live: {} });
    expect(live).toMatchObject({ mode: 'stream' });
    await machine.stop();
    await machine.machine.restore(snapshot.id);
    expect(hardWriterFault(ramOf(machine))).toBe('none');
  });
});

// Clones of a machine too large to be copied: nothing of theirs is read but what they wrote, so that they are there soon, go back
// quickly, are saved by what they wrote alone, and take hardly any of the bridge's memory. VITRINE_LARGE_MIB=8192 tries another size.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import type { Vitrine } from '../../src/engine/vitrine.ts';
import { ThreadEncoder } from '../../src/host/pages/thread-encoder.ts';
import { openClonePool } from '../../src/host/qemu/clone-pool.ts';
import { openQemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { openVitrine } from '../../src/open-vitrine.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { differingMebibytes, fillRam, missingRoom } from '../support/large-ram.ts';
import { faultOf, letRun, pulseProfile, pulseRomFile, QEMUS, readPulse } from './pulse-machine.ts';

const MEMORY_BYTES = Number(process.env.VITRINE_LARGE_MIB ?? 1280) * MIB;
const PAGE = 4096;
const RESETS = 60;
/** What two clones may take of the bridge, whatever they have. */
const MOST_GROWN_BYTES = 160 * MIB;

let rom: Awaited<ReturnType<typeof pulseRomFile>>;
let folder: string;
let vitrine: Vitrine;
beforeAll(async () => {
  rom = await pulseRomFile();
  folder = await mkdtemp(join(tmpdir(), 'vitrine-large-'));
  const store = await openFsStore(join(folder, 'store'));
  vitrine = await openVitrine({ store, encoder: new ThreadEncoder() });
});
afterAll(async () => {
  await vitrine.close();
  await rom.remove();
  await rm(folder, { recursive: true, force: true });
});

it('clones of a large machine go back, and are saved, by what they wrote alone', async (context) => {
  const missing = missingRoom(MEMORY_BYTES);
  if (missing !== undefined) {
    console.warn(`SKIPPED: ${missing}`);
    context.skip(missing);
  }
  const profile = pulseProfile(QEMUS.at(-1)!.program, rom.bios, { memoryBytes: MEMORY_BYTES });
  const first = await openQemuMachine('first', profile, vitrine);
  await first.start();
  await letRun(first, 20);
  // A tenth holds something; the rest was never used.
  await fillRam(first, 1, (mib) => mib % 10 === 0);
  await first.stop();
  const then = await readPulse(first.guest);
  const empty = differingMebibytes(first, 1);
  const { snapshot } = await first.machine.save();
  await first.close();

  const pool = await openClonePool('large', profile, vitrine, snapshot.id, { spare: 2 });
  try {
    const before = process.memoryUsage().rss;
    const clones = [await pool.clone(), await pool.clone()];
    const machines = [];
    const startMs = performance.now();
    for (const clone of clones) {
      const machine = await clone.adopt();
      await machine.machine.standOn(snapshot.id);
      const { pagesScanned } = await machine.machine.checkpoint();
      expect(pagesScanned).toBeLessThan(MEMORY_BYTES / PAGE / 100);
      machines.push(machine);
    }
    const told: Record<string, number> = { adoptedMs: (performance.now() - startMs) / clones.length };
    for (const machine of machines) {
      await machine.start();
      await letRun(machine, 5);
      // A page where there was nothing, and one that held something.
      await fillRam(machine, 2, (mib) => mib === 10 || mib === 11);
      const { pagesCompared } = await machine.machine.reset();
      expect(pagesCompared).toBeLessThan(MEMORY_BYTES / PAGE / 100);
      await machine.stop();
      await machine.machine.reset();
      expect(await readPulse(machine.guest)).toEqual(then);
      const resetMs = performance.now();
      for (let round = 0; round < RESETS; round++) await machine.machine.reset();
      told.resetsPerSecond = (1000 * RESETS) / (performance.now() - resetMs);
      expect(await readPulse(machine.guest)).toEqual(then);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(MOST_GROWN_BYTES);
    const [machine, other] = [machines[0]!, machines[1]!];
    expect(differingMebibytes(other, 1)).toBe(empty);

    await machine.start();
    await letRun(machine, 5);
    await fillRam(machine, 3, (mib) => mib === 20 || mib === 21);
    await machine.stop();
    const at = await readPulse(machine.guest);
    const small = await machine.machine.save();
    told.saveMs = small.totalMs;
    told.pauseMs = small.pauseMs;
    expect(small.snapshot.parent).toBe(snapshot.id);
    expect(small.pagesScanned).toBeLessThan(MEMORY_BYTES / PAGE / 100);
    expect(small.pagesChanged).toBeGreaterThanOrEqual((2 * MIB) / PAGE);
    expect(small.pagesChanged).toBeLessThan((4 * MIB) / PAGE);
    // What was saved is all there is: another clone that is brought there holds the same.
    await other.machine.restore(small.snapshot.id);
    expect(await readPulse(other.guest)).toEqual(at);
    expect(differingMebibytes(other, 1)).toBe(empty + 1);
    expect(differingMebibytes(other, 3)).toBe(differingMebibytes(machine, 3));
    await other.start();
    await letRun(other, 5);
    expect(faultOf(await readPulse(other.guest))).toBe('none');
    told.grownMiB = (process.memoryUsage().rss - before) / MIB;
    if (process.env.VITRINE_LARGE_MIB) console.log(JSON.stringify(told));
  } finally {
    await pool.close();
  }
});

// A machine too large to be copied: saved while it runs and at rest, brought back in place, to a checkpoint and in a new process,
// every byte compared, and what the bridge takes for it. VITRINE_LARGE_MIB=8192 tries another size than 1.25 GiB.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import type { Vitrine } from '../../src/engine/vitrine.ts';
import { ThreadEncoder } from '../../src/host/pages/thread-encoder.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { openVitrine } from '../../src/open-vitrine.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { differingMebibytes, FIRST_MIB, fillRam, missingRoom } from '../support/large-ram.ts';
import {
  faultOf,
  letRun,
  NO_PAGE_FAULTS,
  pulseProfile,
  pulseRomFile,
  QEMUS,
  readPulse,
} from './pulse-machine.ts';

const MEMORY_BYTES = Number(process.env.VITRINE_LARGE_MIB ?? 1280) * MIB;
const PAGE = 4096;
/** What the bridge takes besides: a digest, an index entry and its name a page are some 160 bytes. */
const MOST_GROWN_BYTES = 512 * MIB + (MEMORY_BYTES / PAGE) * 200;

let rom: Awaited<ReturnType<typeof pulseRomFile>>;
let folder: string;
let vitrine: Vitrine;
const opened: QemuMachine[] = [];
beforeAll(async () => {
  rom = await pulseRomFile();
  folder = await mkdtemp(join(tmpdir(), 'vitrine-large-'));
  vitrine = await openVitrine({
    store: await openFsStore(join(folder, 'store')),
    encoder: new ThreadEncoder(),
  });
});
afterEach(async () => {
  for (const machine of opened.splice(0)) await machine.close();
});
afterAll(async () => {
  await vitrine.close();
  await rom.remove();
  await rm(folder, { recursive: true, force: true });
});

function rssBytes(): number {
  return process.memoryUsage().rss;
}

describe('a large machine', () => {
  it('is saved, and restored in place and in a new process', async (context) => {
    const missing = missingRoom(MEMORY_BYTES);
    if (missing !== undefined) {
      console.warn(`SKIPPED: ${missing}`);
      context.skip(missing);
    }
    const { program } = QEMUS.at(-1)!;
    const profile = pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES });
    const machine = await openQemuMachine('large', profile, vitrine);
    opened.push(machine);
    await machine.start();
    await letRun(machine, 20);
    await fillRam(machine, 1);
    const before = rssBytes();
    let most = 0;
    const onProgress = (): void => {
      most = Math.max(most, rssBytes());
    };
    const told: Record<string, number> = {};
    // While it runs: the guest rests for what it wrote meanwhile, and not for all of its memory.
    const running = await machine.machine.save({ onProgress });
    expect(running.pagesChanged).toBeGreaterThanOrEqual((MEMORY_BYTES - FIRST_MIB * MIB) / PAGE);
    told.fullMs = running.totalMs;
    told.fullPauseMs = running.pauseMs;
    await letRun(machine, 5);
    // A hundredth changes.
    await fillRam(machine, 2, (mib) => mib % 100 === 50);
    await machine.stop();
    const low = await lowOf(machine);
    const differing = Math.floor((MEMORY_BYTES / MIB + 49) / 100);
    const small = await machine.machine.save({ onProgress });
    told.changedMs = small.totalMs;
    told.changedPauseMs = small.pauseMs;
    expect(small.pagesChanged).toBeLessThan(MEMORY_BYTES / PAGE / 50);
    // Not stopped at all; what is saved is one instant, in which Pulse keeps its rules.
    await machine.start();
    await letRun(machine, 20);
    const live = await machine.machine.save({ live: {}, onProgress });
    expect(live.live).toMatchObject({ mode: NO_PAGE_FAULTS === undefined ? 'stream' : 'stopped' });
    expect(live.pagesChanged).toBeLessThan(MEMORY_BYTES / PAGE / 50);
    told.liveMs = live.totalMs;
    told.livePauseMs = live.pauseMs;
    await letRun(machine, 20);
    await machine.stop();
    await machine.machine.restore(live.snapshot.id, { onProgress });
    expect(faultOf(await readPulse(machine.guest))).toBe('none');
    expect(differingMebibytes(machine, 1)).toBe(differing);
    // A point to go back to, from what another twentieth became.
    const mark = await machine.machine.checkpoint();
    told.checkpointPauseMs = mark.pauseMs;
    await fillRam(machine, 5, (mib) => mib % 20 === 3);
    const resetStart = performance.now();
    const { pagesWritten } = await machine.machine.reset();
    told.resetMs = performance.now() - resetStart;
    expect(pagesWritten).toBeGreaterThan(0);
    expect(pagesWritten).toBeLessThan(MEMORY_BYTES / PAGE / 10);
    expect(differingMebibytes(machine, 1)).toBe(differing);
    await machine.machine.dropCheckpoint();
    await machine.start();
    await letRun(machine, 20);
    // A quarter is lost, a part of it is zeros now.
    await fillRam(machine, 3, (mib) => mib % 4 === 1);
    await machine.stop();
    const inPlace = await machine.machine.restore(running.snapshot.id, { onProgress });
    told.inPlaceMs = inPlace.totalMs;
    expect(differingMebibytes(machine, 1)).toBe(0);
    await machine.machine.restore(small.snapshot.id, { onProgress });
    expect(differingMebibytes(machine, 1)).toBe(differing);
    expect((await lowOf(machine)).equals(low)).toBe(true);
    await machine.start();
    await letRun(machine, 20);
    await machine.close();
    opened.splice(0);
    const startMs = performance.now();
    const again = await openQemuMachine('large', profile, vitrine, { snapshot: running.snapshot.id });
    told.newProcessMs = performance.now() - startMs;
    opened.push(again);
    expect(differingMebibytes(again, 1)).toBe(0);
    await again.start();
    await letRun(again, 20);
    told.grownMiB = (most - before) / MIB;
    if (process.env.VITRINE_LARGE_MIB) console.log(JSON.stringify(told));
    expect(most - before).toBeLessThan(MOST_GROWN_BYTES);
  });
});

/** What lies below the filled part: Pulse and its working set. */
async function lowOf({ guest }: QemuMachine): Promise<Buffer> {
  const bytes = Buffer.alloc(FIRST_MIB * MIB);
  guest.readTorn({ region: 0, offsetBytes: 0, lengthBytes: bytes.length }, bytes);
  return bytes;
}

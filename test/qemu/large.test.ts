// A machine too large to be copied: saved while it runs and at rest, brought back in place and in a new process, every byte
// compared, and what the bridge takes for it. VITRINE_LARGE_MIB=8192 tries another size than 1.25 GiB.

import { readFileSync, statfsSync } from 'node:fs';
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
import { letRun, pulseProfile, pulseRomFile, QEMUS } from './pulse-machine.ts';

const MEMORY_BYTES = Number(process.env.VITRINE_LARGE_MIB ?? 1280) * MIB;
/** Pulse lives below. */
const FIRST_MIB = 4;
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

/** One MiB of the content that the whole machine is filled with: every page is another one, and compresses. */
function contentAt(mib: number, round: number, into: Uint32Array): void {
  for (let page = 0; page < MIB / PAGE; page++) {
    const at = (page * PAGE) / 4;
    const seed = Math.imul(mib * 256 + page + 1, 0x9e37_79b1) ^ round;
    for (let word = 0; word < 16; word++) into[at + word] = Math.imul(seed, 2 * word + 1);
  }
}

function fresh(): Uint32Array<ArrayBuffer> {
  return new Uint32Array(MIB / 4).map((_, index) => index % 97);
}

type Each = (bytes: Buffer, mib: number) => void;

/** Reads all of a machine's RAM in the order of its addresses, a MiB at a time. */
function eachMebibyte({ guest }: QemuMachine, see: Each): void {
  const bytes = Buffer.alloc(MIB);
  let mib = 0;
  for (const { id, sizeBytes } of guest.regions) {
    for (let offsetBytes = 0; offsetBytes < sizeBytes; offsetBytes += MIB) {
      guest.readTorn({ region: id, offsetBytes, lengthBytes: MIB }, bytes);
      see(bytes, mib++);
    }
  }
}

async function fill(machine: QemuMachine, round: number, isChosen: (mib: number) => boolean): Promise<void> {
  const words = fresh();
  const { guest } = machine;
  await guest.pause();
  let mib = 0;
  for (const { id, sizeBytes } of guest.regions) {
    for (let offsetBytes = 0; offsetBytes < sizeBytes; offsetBytes += MIB) {
      if (mib >= FIRST_MIB && isChosen(mib)) {
        contentAt(mib, round, words);
        guest.writePages({ region: id, offsetBytes, lengthBytes: MIB }, new Uint8Array(words.buffer));
      }
      mib++;
    }
  }
  await guest.resume();
}

/** How many MiB are not what `fill` wrote in that round. */
function differing(machine: QemuMachine, round: number): number {
  const words = fresh();
  let count = 0;
  eachMebibyte(machine, (bytes, mib) => {
    if (mib < FIRST_MIB) return;
    contentAt(mib, round, words);
    if (!bytes.equals(new Uint8Array(words.buffer))) count++;
  });
  return count;
}

function rssBytes(): number {
  return process.memoryUsage().rss;
}

/** Whether there is room for two copies in memory: the machine's and what waits to be put into it. */
function room(): string | undefined {
  const available =
    Number(/MemAvailable:\s+(\d+) kB/.exec(readFileSync('/proc/meminfo', 'latin1'))?.[1]) * 1024;
  const { bavail, bsize } = statfsSync('/dev/shm');
  const wanted = 1.5 * MEMORY_BYTES + 1024 * MIB;
  if (Math.min(available, bavail * bsize) >= wanted) return undefined;
  return `needs ${Math.round(wanted / MIB)} MiB of free memory`;
}

describe('a large machine', () => {
  it('is saved, and restored in place and in a new process', async (context) => {
    const missing = room();
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
    await fill(machine, 1, () => true);
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
    await fill(machine, 2, (mib) => mib % 100 === 50);
    await machine.stop();
    const low = await lowOf(machine);
    const small = await machine.machine.save({ onProgress });
    told.changedMs = small.totalMs;
    told.changedPauseMs = small.pauseMs;
    expect(small.pagesChanged).toBeLessThan(MEMORY_BYTES / PAGE / 50);
    // A quarter is lost, a part of it is zeros now.
    await fill(machine, 3, (mib) => mib % 4 === 1);
    const inPlace = await machine.machine.restore(running.snapshot.id, { onProgress });
    told.inPlaceMs = inPlace.totalMs;
    expect(differing(machine, 1)).toBe(0);
    await machine.machine.restore(small.snapshot.id, { onProgress });
    expect(differing(machine, 1)).toBe(Math.floor((MEMORY_BYTES / MIB + 49) / 100));
    expect((await lowOf(machine)).equals(low)).toBe(true);
    await machine.start();
    await letRun(machine, 20);
    await machine.close();
    opened.splice(0);
    const startMs = performance.now();
    const again = await openQemuMachine('large', profile, vitrine, { snapshot: running.snapshot.id });
    told.newProcessMs = performance.now() - startMs;
    opened.push(again);
    expect(differing(again, 1)).toBe(0);
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

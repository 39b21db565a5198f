// Many machines from one snapshot: each goes on exactly and by itself, what none of them wrote is there once, and the image that
// they stand on stays as it was.

import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { type ClonePool, type ClonePoolOptions, openClonePool } from '../../src/host/qemu/clone-pool.ts';
import { provePageMap } from '../../src/host/qemu/page-map-proof.ts';
import { type QemuProfile, resolveProfile } from '../../src/host/qemu/profile.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { faultOf, pulseProfile, pulseRomFile, QEMUS, ramOf, readPulse } from './pulse-machine.ts';

const MEMORY_BYTES = 64 * MIB;
const LOOPS = 30;

describe.each(QEMUS)('clones in QEMU $version', ({ program }) => {
  let rom: Awaited<ReturnType<typeof pulseRomFile>>;
  let root: string;
  let vitrine: Vitrine;
  let profile: QemuProfile;
  let snapshot: string;
  let then: Awaited<ReturnType<typeof readPulse>>;
  const pools: ClonePool[] = [];
  const machines: QemuMachine[] = [];

  const openPool = async (options: ClonePoolOptions = {}): Promise<ClonePool> => {
    const pool = await openClonePool('pulse', profile, vitrine, snapshot, { root, ...options });
    pools.push(pool);
    return pool;
  };

  beforeAll(async () => {
    rom = await pulseRomFile();
    root = await mkdtemp(join(tmpdir(), 'vitrine-clones-'));
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
    profile = pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES });
    const first = await openQemuMachine('pulse', profile, vitrine, { root });
    await first.start();
    await untilLoops(first, LOOPS);
    await first.stop();
    snapshot = (await first.machine.save()).snapshot.id;
    then = await readPulse(first.guest);
    await first.close();
  });
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.close();
    for (const pool of pools.splice(0)) await pool.close();
    // Neither images nor machines stay behind.
    expect(await readdir(root)).toEqual([]);
  });
  afterAll(async () => {
    await vitrine?.close();
    await rom.remove();
    await rm(root, { recursive: true, force: true });
  });

  it('go on exactly from one image, four at once, and share what they do not write', async () => {
    const pool = await openPool({ spare: 2 });
    const clones = await Promise.all([1, 2, 3, 4].map(() => pool.clone()));
    const image = await imageDigest(root);
    await Promise.all(clones.map((clone) => clone.start()));
    for (const clone of clones) {
      const machine = await clone.adopt();
      await untilLoops(machine, then.loops + 300);
      expect(faultOf(await readPulse(machine.guest))).toBe('none');
      // Its working set and what it stands on: a mebibyte and a little.
      expect(await clone.ownBytes()).toBeGreaterThan(MIB / 2);
      expect(await clone.ownBytes()).toBeLessThan(MEMORY_BYTES / 8);
    }
    expect(await imageDigest(root)).toBe(image);
  });

  it('rest as the snapshot was until they are started', async () => {
    const clone = await (await openPool()).clone();
    const machine = await clone.adopt();
    expect(await readPulse(machine.guest)).toEqual(then);
    expect((await machine.status()).state).toBe('paused');
  });

  it('are saved and restored like other machines, and go on elsewhere', async () => {
    const clone = await (await openPool()).clone();
    await clone.start();
    const machine = await clone.adopt();
    await untilLoops(machine, then.loops + 40);
    await machine.stop();
    const at = await readPulse(machine.guest);
    const saved = (await machine.machine.save()).snapshot.id;
    await machine.start();
    await untilLoops(machine, at.loops + 40);
    await machine.stop();
    await machine.machine.restore(saved);
    expect(await readPulse(machine.guest)).toEqual(at);
    await machine.machine.restore(snapshot);
    expect(await readPulse(machine.guest)).toEqual(then);
    await machine.start();
    await untilLoops(machine, then.loops + 300);
    expect(faultOf(await readPulse(machine.guest))).toBe('none');
    // With RAM in a file again.
    const other = await openQemuMachine('other', profile, vitrine, { root, snapshot: saved });
    machines.push(other);
    expect(await readPulse(other.guest)).toEqual(at);
  });

  it('tell what they wrote, so that saves and resets look at that alone', async () => {
    const clone = await (await openPool()).clone();
    const machine = await clone.adopt();
    const pageCount = MEMORY_BYTES / 4096;
    const few = pageCount / 8;
    let loops = then.loops;
    const work = async () => {
      loops += 20;
      await machine.start();
      await untilLoops(machine, loops);
      await machine.stop();
    };
    const scanned: number[] = [];
    let last = snapshot;
    for (let round = 0; round < 5; round++) {
      await work();
      const report = await machine.machine.save();
      scanned.push(report.pagesScanned);
      last = report.snapshot.id;
    }
    for (const pages of scanned) expect(pages).toBeLessThan(few);
    expect((await machine.machine.describe()).tier).toBe('marks');
    // What the marks left out did not change: the last save has all of memory.
    const ram = ramOf(machine);
    await work();
    await machine.machine.restore(last);
    expect(ramOf(machine).equals(ram)).toBe(true);
    const at = await readPulse(machine.guest);
    await machine.machine.checkpoint();
    for (let round = 0; round < 200; round++) {
      await machine.start();
      const report = await machine.machine.reset();
      expect(report.pagesCompared).toBeLessThan(few);
    }
    await machine.stop();
    await machine.machine.reset();
    expect(ramOf(machine).equals(ram)).toBe(true);
    expect(await readPulse(machine.guest)).toEqual(at);
    await machine.start();
    await untilLoops(machine, at.loops + 300);
    expect(faultOf(await readPulse(machine.guest))).toBe('none');
  });

  it('are told from their snapshot without reading it, and what they save is exact', async () => {
    const clone = await (await openPool()).clone();
    const machine = await clone.adopt();
    await machine.machine.standOn(snapshot);
    expect(machine.machine.base).toBe(snapshot);
    await machine.start();
    await untilLoops(machine, then.loops + 40);
    await machine.stop();
    const at = await readPulse(machine.guest);
    const report = await machine.machine.save();
    expect(report.pagesChanged).toBeGreaterThan(10);
    expect(report.pagesChanged).toBeLessThan(MEMORY_BYTES / 4096 / 8);
    const other = await openQemuMachine('other', profile, vitrine, { root, snapshot: report.snapshot.id });
    machines.push(other);
    expect(ramOf(other).equals(ramOf(machine))).toBe(true);
    expect(await readPulse(other.guest)).toEqual(at);
  });

  it('stand on a kernel that was proven to tell what they write', async () => {
    expect(await provePageMap(resolveProfile(profile), root)).toMatchObject({ works: true });
  });

  it('share all memory that only we looked at', async () => {
    const clone = await (await openPool()).clone();
    const machine = await clone.adopt();
    const mappedBytes = () => mappedOf(clone.process.pid);
    const before = await mappedBytes();
    await machine.machine.save();
    ramOf(machine);
    await machine.machine.checkpoint();
    await machine.machine.reset();
    // Neither saving nor reading brought the image into its process.
    expect((await mappedBytes()) - before).toBeLessThan(MEMORY_BYTES / 8);
  });

  it('are refused for another machine and for one with a balloon, and nothing stays behind', async () => {
    const open = (other: QemuProfile) =>
      codeOf(() => openClonePool('pulse', other, vitrine, snapshot, { root }));
    expect(await open({ ...profile, memoryBytes: 32 * MIB })).toBe('guest-mismatch');
    expect(await open({ ...profile, args: ['-device', 'virtio-balloon-pci'] })).toBe('unsupported');
    expect(await open({ ...profile, args: ['-device', 'no-such-device'] })).toBe('guest-start');
    const pool = await openPool();
    await pool.close();
    expect(await codeOf(() => pool.clone())).toBe('guest-closed');
  });

  it('that are killed are gone alone', async () => {
    const pool = await openPool();
    const [one, other] = await Promise.all([pool.clone(), pool.clone()]);
    process.kill(one!.process.pid, 'SIGKILL');
    await one!.process.exited;
    expect(await codeOf(() => one!.start())).toBe('guest-lost');
    await other!.start();
    await untilLoops(await other!.adopt(), then.loops + 20);
  });
});

async function untilLoops({ guest }: QemuMachine, loops: number): Promise<void> {
  await vi.waitUntil(async () => (await readPulse(guest)).loops >= loops, { timeout: 60_000, interval: 20 });
}

/** Memory of a RAM image that a process has mapped, its own pages included. */
async function mappedOf(pid: number): Promise<number> {
  const smaps = await readFile(`/proc/${pid}/smaps`, 'latin1');
  const found = /\/pulse-image-[^\n]*\/ram\n(?:.*\n)*?Rss: +(\d+) kB/.exec(smaps);
  if (found === null) throw new Error('it maps no image');
  return Number(found[1]) * 1024;
}

/** Of the RAM image in the run directories. */
async function imageDigest(root: string): Promise<string> {
  const folder = (await readdir(root)).find((name) => name.startsWith('pulse-image-'));
  if (folder === undefined) throw new Error('there is no image');
  return createHash('sha256')
    .update(await readFile(join(root, folder, 'ram')))
    .digest('hex');
}

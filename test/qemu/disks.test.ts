// Disks saved with their machine: a Linux that writes numbered sectors goes back and on, in the same process, in a new one after
// a kill, and in four at once. No write is lost and none is there that was not made.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { collectDisks } from '../../src/host/qemu/collect-disks.ts';
import { decodeDiskRecord, isDiskRecord } from '../../src/host/qemu/disk-record.ts';
import { MERGED_FROM, mergeDisks } from '../../src/host/qemu/merge-disks.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf, whilePaused } from '../../src/testing/guest-suites/subject.ts';
import { DISK_DRIVERS, linuxWithDrivers, SECTOR_BYTES, WriterLine } from './disk-linux.ts';
import { NO_PAGE_FAULTS, QEMUS } from './pulse-machine.ts';

const DISK_BYTES = 8 * MIB;

describe.each(QEMUS)('disks in QEMU $version', ({ version, program, image }) => {
  let folder: string;
  let base: string;
  let vitrine: Vitrine;
  let linux: ReturnType<typeof linuxWithDrivers>;
  let first: QemuMachine;
  let line: WriterLine;
  let snapshot: string;
  /** The number that is printed first after the snapshot. */
  let next: number;
  const opened: QemuMachine[] = [];

  const open = async (from?: string): Promise<QemuMachine> => {
    const machine = await openQemuMachine('linux', linux.profile, vitrine, {
      disks: { folder, files: [{ name: 'data', file: base, format: 'raw' }] },
      ...(from !== undefined && { snapshot: from }),
    });
    opened.push(machine);
    return machine;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-disks-'));
    base = join(folder, 'base.raw');
    await writeFile(base, '');
    await truncate(base, DISK_BYTES);
    linux = linuxWithDrivers(program, DISK_DRIVERS);
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
    first = await open();
    line = new WriterLine(first.serial);
    await first.start();
    await line.startWriting();
    await line.untilWritten(5);
    snapshot = (await first.machine.save()).snapshot.id;
    await line.untilMore(5);
  });
  afterEach(async () => {
    for (const machine of opened.splice(opened.indexOf(first) + 1)) await machine.close();
  });
  afterAll(async () => {
    await first?.close();
    await vitrine?.close();
    await rm(folder, { recursive: true, force: true });
    await rm(linux.folder, { recursive: true, force: true });
  });

  it('goes back in place, with its disk, as often as one likes', async () => {
    for (let round = 0; round < 3; round++) {
      await first.stop();
      const before = new Set(line.written);
      await first.machine.restore(snapshot);
      line.forget();
      await first.start();
      await line.untilMore(8);
      const { written } = line;
      next = round === 0 ? written[0]! : next;
      // The one after what had been printed, and then one by one.
      expect(before.has(next - 1) || round > 0).toBe(true);
      expect(written).toEqual(written.map((_, i) => next + i));
    }
  });

  it('names files that hold what was written until then and nothing else', async () => {
    const { chain, sectors } = await whilePaused(first.guest, async () => {
      const record = decodeDiskRecord((await first.guest.saveDevices()).find(isDiskRecord)!);
      const raw = join(folder, 'whole');
      const top = join(folder, record.chain[0]!.path);
      const convert = spawnSync(image, ['convert', '-U', '-O', 'raw', top, raw], { encoding: 'utf8' });
      expect(convert.stderr).toBe('');
      const bytes = await readFile(raw);
      await rm(raw);
      const texts = Array.from({ length: 2000 }, (_, i) =>
        bytes.subarray(i * SECTOR_BYTES, i * SECTOR_BYTES + 8).toString('latin1'),
      );
      return { chain: record.chain, sectors: texts };
    });
    const written = sectors.filter((text) => /^\d{8}$/.test(text)).map(Number);
    expect(written).toEqual(written.map((_, i) => i + 1));
    expect(sectors.slice(written.length + 1).every((text) => text === '\0'.repeat(8))).toBe(true);
    expect(written.length - line.written.at(-1)!).toBeOneOf([0, 1]);
    expect(chain.at(-1)!.path).toBe(base);
    for (const { path } of chain.slice(0, -1)) {
      const check = spawnSync(image, ['check', '-U', join(folder, path)], { encoding: 'utf8' });
      expect(check.status, check.stdout + check.stderr).toBe(0);
    }
  });

  // Without KVM a machine that runs is watched by userfaultfd, which not everybody may use.
  it.skipIf(NO_PAGE_FAULTS)(
    'is saved while it runs, disk and memory of one instant, and goes back to each',
    async () => {
      const saves: { id: string; before: number; after: number }[] = [];
      for (let round = 0; round < 3; round++) {
        const before = line.written.at(-1)!;
        const { snapshot, live, totalMs, pauseMs } = await first.machine.save({ live: {} });
        expect(live).toMatchObject({ mode: 'stream' });
        expect(totalMs).toBeGreaterThanOrEqual(pauseMs);
        expect(await first.guest.isRunning()).toBe(true);
        await line.untilMore(3);
        saves.push({ id: snapshot.id, before, after: line.written.at(-1)! });
      }
      for (const { id, before, after } of saves) {
        await first.stop();
        await first.machine.restore(id);
        line.forget();
        await first.start();
        await line.untilMore(3);
        // No number is missing or comes twice, or its own checks of the disk say WRONG.
        const [from] = line.written as [number];
        expect(from).toBeGreaterThan(before);
        expect(from).toBeLessThanOrEqual(after);
        expect(line.written).toEqual(line.written.map((_, i) => from + i));
      }
      await first.stop();
      await first.machine.restore(snapshot);
      line.forget();
      await first.start();
      await line.untilMore(3);
    },
  );

  it('reads through few files once its snapshots are gone, while it runs', async () => {
    const chainLength = async (): Promise<number> =>
      whilePaused(first.guest, async () => {
        const records = await first.guest.saveDevices();
        return decodeDiskRecord(records.find(isDiskRecord)!).chain.length;
      });
    const gone: string[] = [];
    // What it says it wrote may have been written before the last save, which then finds nothing new.
    for (const start = await chainLength(); (await chainLength()) <= start + MERGED_FROM; ) {
      await line.untilMore(1);
      gone.push((await first.machine.save()).snapshot.id);
    }
    const kept = gone.pop()!;
    const before = await chainLength();
    await vitrine.delete(gone);
    expect(await mergeDisks(vitrine, folder)).toBeGreaterThan(0);
    expect(await first.shortenDisks()).toBe(1);
    expect(await first.shortenDisks()).toBe(0);
    expect(await chainLength()).toBeLessThanOrEqual(before - MERGED_FROM + 2);
    expect((await collectDisks(vitrine, folder)).length).toBeGreaterThanOrEqual(MERGED_FROM);
    await line.untilMore(3);
    const next = (await first.machine.save()).snapshot.id;
    await line.untilMore(3);
    for (const id of [kept, next]) {
      await first.stop();
      await first.machine.restore(id);
      line.forget();
      await first.start();
      await line.untilMore(3);
      const [from] = line.written as [number];
      expect(line.written).toEqual(line.written.map((_, i) => from + i));
    }
    expect((await first.status()).said).toBe('');
    await first.stop();
    await first.machine.restore(snapshot);
    line.forget();
    await first.start();
    await line.untilMore(3);
  });

  it('costs nothing while nothing is written', async () => {
    await first.stop();
    await whilePaused(first.guest, () => first.guest.saveDevices());
    const before = await readdir(folder);
    await whilePaused(first.guest, () => first.guest.saveDevices());
    await first.machine.save();
    expect(await readdir(folder)).toEqual(before);
    await first.start();
  });

  it('goes on in a new process after the first was killed, and in four at once', async () => {
    const killed = await open(snapshot);
    await killed.start();
    await new WriterLine(killed.serial).untilMore(3);
    process.kill(killed.process.pid, 'SIGKILL');
    await killed.lost;
    const lines: WriterLine[] = [];
    // Four in one of the versions: each boots nothing, but all of them run on what cores there are.
    const count = version === QEMUS[0]!.version ? 4 : 1;
    for (let i = 0; i < count; i++) {
      const clone = await open(snapshot);
      lines.push(new WriterLine(clone.serial));
      await clone.start();
    }
    for (const clone of lines) {
      await clone.untilMore(3);
      expect(clone.written).toEqual(clone.written.map((_, i) => next + i));
    }
  });

  it('says which file is gone or was written, and leaves the machine as it was', async () => {
    await first.stop();
    const time = new Date();
    const at = (await readFile(base)).length;
    // Another time alone is enough: nobody can tell what else is other.
    await utimes(base, time, time);
    expect(await codeOf(() => first.machine.restore(snapshot))).toBe('disk-changed');
    await rm(base);
    expect(await codeOf(() => first.machine.restore(snapshot))).toBe('disk-missing');
    expect(await codeOf(() => open(snapshot))).toBe('disk-missing');
    line.forget();
    await first.start();
    await line.untilMore(3);
    expect(at).toBe(DISK_BYTES);
  });

  it('leaves no layers that no snapshot names and no machine stands on', async () => {
    const records = await whilePaused(first.guest, () => first.guest.saveDevices());
    const { chain } = decodeDiskRecord(records.find(isDiskRecord)!);
    const layersIn = async (): Promise<string[]> =>
      (await readdir(folder)).filter((name) => name.endsWith('.qcow2')).sort();
    // The machine runs on what its own note names, and snapshots name some.
    const removed = await collectDisks(vitrine, folder);
    for (const { path } of chain) expect(removed).not.toContain(path);
    for (const { path } of chain.slice(0, -1)) expect(existsSync(join(folder, path))).toBe(true);
    line.forget();
    await line.untilMore(3);
    await first.close();
    await collectDisks(vitrine, folder);
    const named = await layersIn();
    const { chain: saved } = decodeDiskRecord((await vitrine.devices(snapshot)).find(isDiskRecord)!);
    for (const { path } of saved.slice(0, -1)) expect(named).toContain(path);
    await vitrine.delete((await vitrine.log()).map(({ id }) => id));
    expect(await collectDisks(vitrine, folder)).toEqual(expect.arrayContaining(named));
    expect(await readdir(folder)).toEqual([]);
  });
});

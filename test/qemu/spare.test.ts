// Processes that wait ahead of time for a lazy machine: one that fits is used and the machine is the same, one that does not is left alone,
// and whatever happens to one that waits, the next restore works and nothing is left behind.

import { copyFile, mkdir, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { isDiskRecord } from '../../src/host/qemu/disk-record.ts';
import {
  type LazyMachine,
  type LazyMachineOptions,
  openLazyMachine,
  spareLazyMachine,
} from '../../src/host/qemu/lazy-machine.ts';
import { filesIn, type QemuProfile } from '../../src/host/qemu/profile.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { readNote } from '../../src/host/qemu/run-directory.ts';
import { SpareProcesses } from '../../src/host/qemu/spare-processes.ts';
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

const MEMORY_BYTES = 16 * MIB;

// Pages that come as they are touched are userfaultfd's, which not everybody may use.
describe.skipIf(NO_PAGE_FAULTS).each(QEMUS)(
  'a process that waits for a lazy machine of QEMU $version',
  ({ program }) => {
    let rom: Awaited<ReturnType<typeof pulseRomFile>>;
    let folder: string;
    let root: string;
    let disks: NonNullable<LazyMachineOptions['disks']>;
    let vitrine: Vitrine;
    let profile: QemuProfile;
    let snapshot: string;
    let ramThen: Buffer;
    let spares: SpareProcesses;
    let isOver: () => void;
    const opened: (LazyMachine | QemuMachine)[] = [];

    const wait = (of = profile, more: LazyMachineOptions & { readonly count?: number } = {}) =>
      spareLazyMachine(of, vitrine, snapshot, { root, ...more, spares });
    const open = async (more: LazyMachineOptions = {}, of = profile): Promise<LazyMachine> => {
      const lazy = await openLazyMachine('pulse', of, vitrine, snapshot, { root, spares, ...more });
      opened.push(lazy);
      return lazy;
    };
    const whole = async (lazy: LazyMachine): Promise<QemuMachine> => {
      const { machine } = await lazy.whole;
      opened.push(machine);
      return machine;
    };
    /** Process ids of those that wait. */
    const waiting = async (): Promise<number[]> => {
      const notes = await Promise.all(
        (await readdir(root)).map((name) => readNote(filesIn(join(root, name)))),
      );
      return notes.flatMap((note) => (note?.name === '_spare' && note.qemu ? [note.qemu.pid] : []));
    };

    beforeAll(async () => {
      rom = await pulseRomFile();
      folder = await mkdtemp(join(tmpdir(), 'vitrine-spare-'));
      // RAM comes as it is touched in memory files alone.
      root = await mkdtemp('/dev/shm/vitrine-spare-');
      const base = join(folder, 'base.raw');
      await writeFile(base, '');
      await truncate(base, 8 * MIB);
      await mkdir(join(folder, 'disks'), { mode: 0o700 });
      disks = { folder: join(folder, 'disks'), files: [{ name: 'data', file: base, format: 'raw' }] };
      const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
      vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
      profile = pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES });
      const first = await openQemuMachine('pulse', profile, vitrine, { root });
      await first.start();
      await letRun(first, 20);
      await first.stop();
      snapshot = (await first.machine.save()).snapshot.id;
      ramThen = ramOf(first);
      await first.close();
    });
    const begin = (most = 1): void => {
      spares = new SpareProcesses({
        most,
        idle: {
          ms: 1,
          deadline: (_, expired) => {
            isOver = expired;
            return () => {};
          },
        },
      });
    };
    afterEach(async () => {
      for (const machine of opened.splice(0)) await machine.close();
      await spares.close();
      expect(await readdir(root)).toEqual([]);
    });
    afterAll(async () => {
      await vitrine?.close();
      await rom?.remove();
      await rm(folder, { recursive: true, force: true });
      await rm(root, { recursive: true, force: true });
    });

    it('becomes it, exactly, and the next one waits once it is whole', async () => {
      begin();
      await wait();
      const [pid] = await waiting();
      expect(spares.usedBytes).toBeGreaterThan(MIB);
      const lazy = await open();
      expect(lazy.pid).toBe(pid);
      const machine = await whole(lazy);
      expect(ramOf(machine).equals(ramThen)).toBe(true);
      const at = await readPulse(machine.guest);
      await machine.start();
      expect((await letRun(machine, 300)).loops).toBeGreaterThanOrEqual(at.loops + 300);
      await vi.waitUntil(() => spares.usedBytes > 0, { timeout: 60_000, interval: 20 });
      expect(await waiting()).not.toContain(pid);
      await machine.stop();
      await machine.machine.restore(snapshot);
      expect(ramOf(machine).equals(ramThen)).toBe(true);
    });

    it('waits for each of those that were restored at once', async () => {
      begin(3);
      const first = await Promise.all([open(), open()]);
      const pids = first.map(({ pid }) => pid);
      for (const lazy of first) await whole(lazy);
      await vi.waitUntil(async () => (await waiting()).length === 2, { timeout: 60_000, interval: 20 });
      await wait(profile, { count: 2 });
      const ready = await waiting();
      for (const pid of ready) expect(pids).not.toContain(pid);
      const second = await Promise.all([open(), open()]);
      expect(second.map(({ pid }) => pid).sort()).toEqual(ready.sort());
    });

    it('is passed over when it was killed', async () => {
      begin();
      await wait();
      const [pid] = await waiting();
      // At once: nobody has told us yet.
      process.kill(pid!, 'SIGKILL');
      const lazy = await open();
      expect(lazy.pid).not.toBe(pid);
      expect(ramOf(await whole(lazy)).equals(ramThen)).toBe(true);
      await vi.waitUntil(() => spares.usedBytes > 0, { timeout: 60_000, interval: 20 });
      // And when we were.
      const [next] = await waiting();
      process.kill(next!, 'SIGKILL');
      await vi.waitUntil(() => spares.count === 0, { timeout: 60_000, interval: 20 });
    });

    it('is left alone by a machine of another shape, and by one whose files are others by now', async () => {
      begin(2);
      const bios = join(folder, 'other.bin');
      await copyFile(rom.bios, bios);
      await wait({ ...profile, bios });
      const [first] = await waiting();
      await wait({ ...profile, cpus: 2 });
      const pids = await waiting();
      expect(pids).toHaveLength(2);
      expect(pids).not.toContain((await open({ onlyTouched: true })).pid);
      await rm(bios);
      await copyFile(rom.bios, bios);
      expect(pids).not.toContain((await open({ onlyTouched: true }, { ...profile, bios })).pid);
      expect(await waiting()).toEqual(pids);
      // A third one takes the place of that which has waited longest.
      await wait();
      await vi.waitUntil(async () => (await waiting()).length === 2, { timeout: 60_000, interval: 20 });
      expect(await waiting()).not.toContain(first);
    });

    it('ends when nobody needed it for long, and is not started where it may not be', async () => {
      begin();
      await wait();
      isOver();
      await vi.waitUntil(async () => (await readdir(root)).length === 0, { timeout: 60_000, interval: 20 });
      expect(spares.count).toBe(0);
      expect(await codeOf(() => wait({ ...profile, args: ['-gdb', 'tcp::1234'] }))).toBe('unsupported');
      await spares.close();
      expect(await codeOf(() => wait())).toBe('guest-closed');
      begin(0);
      await wait();
      expect(spares.count).toBe(0);
    });

    it('stands on the disks of its snapshot, and on no others', async () => {
      begin();
      const id = snapshot;
      const layers = async () =>
        (await readdir(disks.folder)).filter((name) => name.endsWith('.qcow2')).length;
      const first = await openQemuMachine('disk', profile, vitrine, { root, disks });
      opened.push(first);
      const write = async (pattern: string) => {
        const line = `qemu-io -d /machine/peripheral/vitrine-disk-data/virtio-backend "write -P ${pattern} 0 64k"`;
        expect(await first.process.qmp.execute('human-monitor-command', { 'command-line': line })).toBe('');
      };
      try {
        await write('0x11');
        snapshot = (await first.machine.save()).snapshot.id;
        await write('0x22');
        const later = (await first.machine.save()).snapshot.id;
        await first.close();
        await wait(profile, { disks });
        const [pid] = await waiting();
        const lazy = await open({ disks });
        expect(lazy.pid).toBe(pid);
        const machine = await whole(lazy);
        const again = (await machine.machine.save()).snapshot.id;
        const disksOf = async (of: string) => (await vitrine.devices(of)).filter(isDiskRecord);
        expect(await disksOf(again)).toEqual(await disksOf(snapshot));
        expect(await disksOf(again)).not.toEqual(await disksOf(later));
        await machine.close();
        // What waits by now stands on the first snapshot.
        await vi.waitUntil(() => spares.usedBytes > 0, { timeout: 60_000, interval: 20 });
        const [next] = await waiting();
        snapshot = later;
        expect((await open({ disks, onlyTouched: true })).pid).not.toBe(next);
        for (const one of opened.splice(0)) await one.close();
        await spares.close();
        expect(await layers()).toBe(2);
      } finally {
        snapshot = id;
      }
    });
  },
);

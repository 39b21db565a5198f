// A restore into a new process that is made beside the one that runs: that one goes on until the new one can, and whatever keeps the new one
// from it, be it that QEMU refuses the state, costs nothing.

import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import type { WorkOptions } from '../../src/base/work.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { PULSE } from '../../src/guest/pulse/pulse.ts';
import { QemuHostMachine } from '../../src/host/bridge/qemu-host-machine.ts';
import { readRecord, recordOfSection } from '../../src/host/qemu/device-records.ts';
import { findKeptMachines } from '../../src/host/qemu/kept-machine.ts';
import { filesIn, type QemuProfile } from '../../src/host/qemu/profile.ts';
import { openQemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import type { MachineNote } from '../../src/host/qemu/run-directory.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { letRun, NO_PAGE_FAULTS, pulseProfile, pulseRomFile, QEMUS, readPulse } from './pulse-machine.ts';

/** What the host says of its memory; a real shortage would be everybody's. */
const memory = vi.hoisted(() => ({ isShort: false }));
vi.mock(import('../../src/host/qemu/live-room.ts'), async (original) => {
  const there = await original();
  return { ...there, hasMemoryFor: (bytes) => !memory.isShort && there.hasMemoryFor(bytes) };
});

const NAME = 'pulse';
const HOME = 'a store of the test';

describe.each(QEMUS)('a restore beside a machine of QEMU $version', ({ program }) => {
  let rom: Awaited<ReturnType<typeof pulseRomFile>>;
  let root: string;
  let engine: Vitrine;
  let host: QemuHostMachine;
  /** Of one machine: taken at rest, and one whose serial line no QEMU takes. */
  let good: string;
  let bad: string;
  let loopsThen: number;

  beforeEach(async () => {
    rom = await pulseRomFile();
    root = await mkdtemp('/dev/shm/vitrine-beside-');
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    engine = await openEngine({ store: openMemoryStore(), kernels, codecs });
    const profile = pulseProfile(program, rom.bios, { memoryBytes: 8 * MIB });
    const first = await openQemuMachine(NAME, profile, engine, { root });
    await first.start();
    await letRun(first, 20);
    await first.stop();
    good = (await first.machine.save()).snapshot.id;
    loopsThen = (await readPulse(first.guest)).loops;
    const save = first.guest.saveDevices.bind(first.guest);
    first.guest.saveDevices = async () =>
      (await save()).map((record) => {
        const read = record.name === 'serial@0' ? readRecord(record) : undefined;
        if (read === undefined || !('section' in read)) return record;
        return recordOfSection({ ...read.section, body: read.section.body.slice(0, -1) });
      });
    bad = (await first.machine.save()).snapshot.id;
    await first.close();
    host = hostOf(profile);
    await host.start();
  });

  const hostOf = (profile: QemuProfile): QemuHostMachine => {
    const recipe = { profile, disks: [] };
    return new QemuHostMachine({ name: NAME, recipe, engine, diskFolder: root, runRoot: root, home: HOME });
  };

  afterEach(async () => {
    memory.isShort = false;
    await host.close();
    await engine.close();
    await rm(root, { recursive: true, force: true });
    await rom.remove();
  });

  const pid = async () => (await host.facts()).pid;
  const loops = async (): Promise<number> => {
    const [bytes] = (await host.machine!.peek([{ address: PULSE.loops, lengthBytes: 4 }])).bytes;
    return new DataView(bytes!.buffer).getUint32(bytes!.byteOffset, true);
  };
  /** What who comes to its console now is shown first. */
  const printed = (): string => {
    const pieces: Uint8Array[] = [];
    host.console.listen((bytes) => void pieces.push(bytes))();
    return Buffer.concat(pieces).toString('latin1');
  };
  const goesOn = async (): Promise<void> => {
    expect(host.state).toBe('running');
    const now = await loops();
    await expect.poll(loops, { timeout: 60_000 }).toBeGreaterThan(now + 2);
  };
  const kept = async () => (await findKeptMachines(HOME, root)).map(({ qemu }) => qemu.pid);
  /** Processes that note themselves as machines, each with the one whose place it takes. */
  const pairs = () =>
    Object.fromEntries(
      readdirSync(root).map((directory) => {
        const note = JSON.parse(readFileSync(filesIn(join(root, directory)).note, 'utf8')) as MachineNote;
        return [note.qemu?.pid, note.kept?.inPlaceOf?.pid];
      }),
    );
  /** Does something once, in the middle of a restore. */
  const during = (work: () => void): WorkOptions => {
    let isDone = false;
    return {
      onProgress: () => {
        if (!isDone) work();
        isDone = true;
      },
    };
  };

  it('lets it run, and be found by the next bridge, until the new one can', async () => {
    const [before, { machine }] = [await pid(), host];
    await expect.poll(printed, { timeout: 60_000 }).toContain('PULSE');
    const lines = printed();
    let seen: unknown;
    await host.restore(
      good,
      'fresh',
      during(() => {
        seen = { state: host.state, isMachine: host.machine === machine, inPlaceOf: pairs() };
      }),
    );
    const after = await pid();
    const inPlaceOf = { [String(before)]: undefined, [String(after)]: before };
    expect(seen).toEqual({ state: 'running', isMachine: true, inPlaceOf });
    expect(after).not.toBe(before);
    expect(await kept()).toEqual([after]);
    expect(host.machine?.base).toBe(good);
    // Who comes to its console later sees what was printed before as well.
    expect(printed().startsWith(lines)).toBe(true);
    expect(await readdir(root)).toHaveLength(1);
    expect(await loops()).toBeGreaterThanOrEqual(loopsThen);
    await goesOn();
  });

  it('of a state that QEMU refuses leaves it running', async () => {
    const before = await pid();
    expect(await codeOf(() => host.restore(bad, 'fresh', {}))).toBe('guest-state-invalid');
    expect(await pid()).toBe(before);
    expect(await readdir(root)).toHaveLength(1);
    await goesOn();
    const { snapshot } = await host.machine!.save();
    await host.restore(snapshot.id, 'fresh', {});
    expect(await pid()).not.toBe(before);
    await goesOn();
  });

  // Pages that come as they are touched are userfaultfd's, which not everybody may use.
  it.skipIf(NO_PAGE_FAULTS)('of a state that QEMU refuses leaves it running, lazily', async () => {
    const before = await pid();
    const refused = await host.restore(bad, 'lazy', {}).catch((error: unknown) => error);
    expect(refused).toMatchObject({
      code: 'guest-state-invalid',
      data: { said: expect.stringMatching(/serial/) },
    });
    expect(await pid()).toBe(before);
    await goesOn();
    await host.restore(good, 'lazy', {});
    await expect.poll(() => host.machine?.base, { timeout: 60_000 }).toBe(good);
    expect(await engine.head(NAME)).toBe(good);
    expect(await pid()).not.toBe(before);
    expect(await readdir(root)).toHaveLength(1);
    await goesOn();
    expect((await host.machine!.save()).snapshot.parent).toBe(good);
  });

  // It is tried in pages that come as they are touched, which are userfaultfd's; not everybody may use it.
  it.skipIf(NO_PAGE_FAULTS).each(['fresh', 'lazy'] as const)(
    'of a state that QEMU refuses leaves it running where there is no memory for two, %s',
    async (mode) => {
      const before = await pid();
      memory.isShort = true;
      expect(await codeOf(() => host.restore(bad, mode, {}))).toBe('guest-state-invalid');
      expect(await pid()).toBe(before);
      expect(await readdir(root)).toHaveLength(1);
      await goesOn();
      // One whose state is taken begins where the other one ended.
      const seen: boolean[] = [];
      await host.restore(
        good,
        mode,
        during(() => void seen.push(isThere(Number(before)))),
      );
      await expect.poll(() => host.machine?.base, { timeout: 60_000 }).toBe(good);
      expect(seen).toEqual(mode === 'fresh' ? [false] : []);
      expect(await pid()).not.toBe(before);
      expect(await readdir(root)).toHaveLength(1);
      await goesOn();
    },
  );

  it('is given up when it is stopped meanwhile, and nothing is left', async () => {
    let stopped: Promise<void> | undefined;
    const stopping = during(() => {
      stopped = host.stop();
    });
    expect(await codeOf(() => host.restore(good, 'fresh', stopping))).toBe('wrong-state');
    await stopped;
    expect(host.state).toBe('stopped');
    expect(await readdir(root)).toHaveLength(0);
    await host.start(good);
    await goesOn();
  });

  it('takes the place of one that is lost meanwhile', async () => {
    const before = await pid();
    await host.restore(
      good,
      'fresh',
      during(() => void process.kill(Number(before), 'SIGKILL')),
    );
    await goesOn();
    await expect.poll(() => readdir(root), { timeout: 60_000 }).toHaveLength(1);
  });

  it('is none where two of it cannot be: it ends first', async () => {
    const port = await freePort();
    await host.close();
    const netdev = ['-netdev', `user,id=net,hostfwd=tcp:127.0.0.1:${port}-:80`];
    const profile = pulseProfile(program, rom.bios, { memoryBytes: 8 * MIB, args: netdev });
    host = hostOf(profile);
    await host.start();
    const { snapshot } = await host.machine!.save();
    await expect.poll(printed, { timeout: 60_000 }).toContain('PULSE');
    const before = await pid();
    const seen: unknown[] = [];
    await host.restore(
      snapshot.id,
      'fresh',
      during(() => void seen.push(isThere(Number(before)))),
    );
    expect(seen).toEqual([false]);
    await goesOn();
    expect(printed()).toContain('PULSE');
    await host.stop();
    await host.start();
    // Begun anew, it says so once.
    await expect.poll(printed, { timeout: 60_000 }).toContain('PULSE');
    expect(printed().split('PULSE')).toHaveLength(2);
  });
});

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

// Machines whose owner is killed, in the midst of a save, a restore, a reset and a move: they are found as they are, go on if they were meant
// to, and by Pulse's rules not a byte of them is another. One that was cut in two says so, and a restore mends it.

import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { adoptKeptMachine, findKeptMachines } from '../../src/host/qemu/kept-machine.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { collectRunDirectories, isAlive } from '../../src/host/qemu/run-directory.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';
import type { OwnerTask } from './kept-owner.ts';
import { buildOwner, type OwnerProgram } from './kept-program.ts';
import { faultOf, letRun, pulseProfile, pulseRomFile, QEMUS, readPulse } from './pulse-machine.ts';

const random = new Random(seedOfRun());

let owner: OwnerProgram;
let rom: Awaited<ReturnType<typeof pulseRomFile>>;
beforeAll(async () => {
  [owner, rom] = await Promise.all([buildOwner(), pulseRomFile()]);
});
afterAll(async () => {
  await owner?.remove();
  await rom?.remove();
});

describe.each(QEMUS)('a machine in QEMU $version whose owner is killed', ({ program }) => {
  // The two between them see each step from both sides.
  const isSent = program === QEMUS[0]!.program;
  let folder: string;
  let store: string;
  let root: string;
  let vitrine: Vitrine;
  let snapshot: string;
  let adopted: QemuMachine | undefined;

  const task = (more: Pick<OwnerTask, 'work'> & Partial<OwnerTask>): Promise<string> =>
    owner.run({ store, root, snapshot, isSent, ...more });
  const adopt = async (): Promise<QemuMachine> => {
    const [found, ...others] = await findKeptMachines(store, root);
    expect(others).toEqual([]);
    adopted = await adoptKeptMachine(found!, vitrine, { root });
    return adopted;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-kept-'));
    store = join(folder, 'store');
    root = join(folder, 'run');
    await mkdir(store);
    await mkdir(root, { mode: 0o700 });
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: await openFsStore(store), kernels, codecs });
    await task({ work: 'nothing', start: { profile: pulseProfile(program, rom.bios) } });
  });
  afterAll(async () => {
    await adopted?.close();
    await vitrine.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('goes on, is taken over under its name, and is left again', async () => {
    expect(await collectRunDirectories(root)).toEqual([]);
    const machine = await adopt();
    expect(machine.name).toBe('kept');
    expect(await machine.guest.isRunning()).toBe(true);
    await letRun(machine, 10);
    expect(Buffer.from(machine.serial.recent).toString('latin1')).toMatch(/pulse/i);
    const first = await machine.machine.save();
    snapshot = first.snapshot.id;
    const [mine] = await findKeptMachines(store, root);
    expect(await codeOf(() => adoptKeptMachine(mine!, vitrine, { root }))).toBe('busy');
    await machine.leave();
    // Nobody else's machine is taken.
    expect(await findKeptMachines(join(folder, 'other'), root)).toEqual([]);
  });

  it('is one owner’s, however many want it at once', async () => {
    const [found] = await findKeptMachines(store, root);
    const codes = await Promise.all(
      [1, 2, 3, 4].map(() =>
        adoptKeptMachine(found!, vitrine, { root }).then(
          (machine) => {
            adopted = machine;
            return 'adopted';
          },
          (error: { code?: string }) => error.code,
        ),
      ),
    );
    expect(codes.sort()).toEqual(['adopted', 'busy', 'busy', 'busy']);
    await letRun(adopted!, 5);
    await adopted!.leave();
  });

  // A restore has many steps: not every one is tried. Saves of machines that run are in `kept-stream.test.ts`.
  for (const [work, stride] of [
    ['save', 1],
    ['restore', 5],
    ['reset', 2],
    ['quicken', 4],
  ] as const) {
    it(`killed on the way in a ${work} goes on exactly, or says that it cannot`, async () => {
      let torn = 0;
      for (let step = random.below(stride); ; step += stride) {
        const outcome = await task({ work, step });
        const machine = await adopt();
        const { guest } = machine;
        const state = await readPulse(guest);
        if (guest.isTorn) {
          torn++;
          expect(work).not.toMatch(/save|quicken/);
          expect(await guest.isRunning()).toBe(false);
          expect(await codeOf(() => machine.start())).toBe('wrong-state');
          expect(await codeOf(() => machine.machine.save())).toBe('wrong-state');
          await machine.machine.restore(snapshot);
          expect(guest.isTorn).toBe(false);
          await machine.start();
        } else {
          expect(faultOf(state)).toBe('none');
          expect(await guest.isRunning(), `after step ${step}`).toBe(true);
        }
        await letRun(machine, 5);
        const again = await machine.machine.save();
        expect(await vitrine.verify(again.snapshot.id)).toMatchObject({ damaged: [] });
        await letRun(machine, 5);
        await machine.leave();
        if (outcome === 'done') break;
      }
      if (work === 'restore') expect(torn).toBeGreaterThan(0);
    });
  }

  it('rests when it was meant to rest', async () => {
    const machine = await adopt();
    await machine.stop();
    const before = await readPulse(machine.guest);
    await machine.leave();
    await task({ work: 'save', step: 1 });
    const again = await adopt();
    expect(await again.guest.isRunning()).toBe(false);
    expect(await readPulse(again.guest)).toEqual(before);
    await again.start();
    await letRun(again, 5);
  });

  it('ends with the one that has it then, and nothing is left', async () => {
    const [found] = await findKeptMachines(store, root);
    await adopted!.close();
    expect(await isAlive(found!.qemu)).toBe(false);
    expect(await readdir(root)).toEqual([]);
  });

  it('killed on the way into a new process is nothing that may run, or what it was', async () => {
    let torn = 0;
    const start = { profile: pulseProfile(program, rom.bios) };
    for (let step = random.below(8); ; step += 8) {
      const outcome = await task({ work: 'nothing', start, step });
      const [found] = await findKeptMachines(store, root);
      if (found !== undefined) {
        const machine = await adoptKeptMachine(found, vitrine, { root });
        if (machine.guest.isTorn) {
          torn++;
          expect(await codeOf(() => machine.start())).toBe('wrong-state');
          await machine.machine.restore(snapshot);
        }
        const state = await readPulse(machine.guest);
        expect(faultOf(state)).toBe('none');
        // It was not switched on anew.
        expect(state.loops, `after step ${step}`).toBeGreaterThanOrEqual(10);
        await machine.start();
        await letRun(machine, 5);
        await machine.close();
      }
      await collectRunDirectories(root);
      if (outcome === 'done') break;
    }
    expect(torn).toBeGreaterThan(0);
    expect(await readdir(root)).toEqual([]);
  });

  it('that was not to be kept ends', async () => {
    const machine = await openQemuMachine('mine', pulseProfile(program, rom.bios), vitrine, { root });
    expect(await findKeptMachines(store, root)).toEqual([]);
    await machine.close();
  });
});

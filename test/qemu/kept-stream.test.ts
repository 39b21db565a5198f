// A machine whose owner is killed while the machine's state comes to it: what QEMU has still to send is read to its end by the owner's heir, and
// the machine goes on. A background snapshot of QEMU 7.2 that nobody reads would hang it at its next write.

import { mkdir, mkdtemp, open as openFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { adoptKeptMachine, findKeptMachines } from '../../src/host/qemu/kept-machine.ts';
import type { QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';
import type { OwnerTask } from './kept-owner.ts';
import { buildOwner, type OwnerProgram } from './kept-program.ts';
import {
  faultOf,
  letRun,
  NO_PAGE_FAULTS,
  pulseProfile,
  pulseRomFile,
  QEMUS,
  readPulse,
} from './pulse-machine.ts';

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

// Without KVM a machine that runs is watched by userfaultfd, which not everybody may use.
describe.skipIf(NO_PAGE_FAULTS).each(QEMUS)(
  'a machine in QEMU $version whose owner is killed',
  ({ program }) => {
    let folder: string;
    let store: string;
    let root: string;
    let vitrine: Vitrine;
    let adopted: QemuMachine | undefined;

    const task = (more: Pick<OwnerTask, 'work'> & Partial<OwnerTask>): Promise<string> =>
      owner.run({ store, root, ...more });
    const adopt = async (): Promise<QemuMachine> => {
      const [found] = await findKeptMachines(store, root);
      adopted = await adoptKeptMachine(found!, vitrine, { root });
      return adopted;
    };

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'vitrine-heir-'));
      store = join(folder, 'store');
      await mkdir(store);
      // QEMU can watch memory files alone.
      root = await mkdtemp('/dev/shm/vitrine-heir-');
      const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
      vitrine = await openEngine({ store: await openFsStore(store), kernels, codecs });
    });
    afterAll(async () => {
      await adopted?.close();
      await vitrine.close();
      await rm(folder, { recursive: true, force: true });
      await rm(root, { recursive: true, force: true });
    });

    it('while its state comes goes on, wherever in it that was', async () => {
      const profile = pulseProfile(program, rom.bios, { memoryBytes: 96 * MIB });
      await task({ work: 'nothing', start: { profile } });
      const first = await adopt();
      await first.stop();
      // More than a connection holds, where Pulse has nothing.
      const bytes = random.bytes(64 * MIB);
      const ram = await openFile(first.process.files.ram, 'r+');
      await ram.write(bytes, 0, bytes.length, 32 * MIB);
      await ram.close();
      await first.start();
      await first.leave();
      // While the way is prepared, before QEMU has connected, before we know that it has, at the beginning, and where most is still to come.
      const moments = [
        { step: 1 },
        { afterMigrateMs: 0 },
        { afterMigrateMs: 200 },
        { sentBytes: 1 },
        { sentBytes: 24 * MIB },
      ];
      for (const when of moments) {
        expect(await task({ work: 'save live', ...when })).toBe('died at its step');
        const machine = await adopt();
        expect(faultOf(await readPulse(machine.guest))).toBe('none');
        expect(await machine.guest.isRunning()).toBe(true);
        await letRun(machine, 20);
        const { snapshot } = await machine.machine.save();
        expect(await vitrine.verify(snapshot.id)).toMatchObject({ damaged: [] });
        await letRun(machine, 20);
        await machine.leave();
      }
      await adopt();
    });
  },
);

// A machine with a disk whose owner is killed in the midst of a save or a restore: whatever QEMU stands on then is what the next owner
// has, no write is lost or done twice, and no layer is left that nobody needs.

import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { collectDisks } from '../../src/host/qemu/collect-disks.ts';
import { adoptKeptMachine, findKeptMachines } from '../../src/host/qemu/kept-machine.ts';
import type { QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';
import { DISK_DRIVERS, linuxWithDrivers, WriterLine } from './disk-linux.ts';
import type { OwnerTask } from './kept-owner.ts';
import { buildOwner, type OwnerProgram } from './kept-program.ts';
import { QEMUS } from './pulse-machine.ts';

const random = new Random(seedOfRun());
const { program } = QEMUS[random.below(QEMUS.length)]!;

describe('a machine with a disk whose owner is killed', () => {
  let owner: OwnerProgram;
  let linux: ReturnType<typeof linuxWithDrivers>;
  let folder: string;
  let disks: string;
  let store: string;
  let root: string;
  let vitrine: Vitrine;
  let snapshot: string;
  let adopted: QemuMachine | undefined;
  let line: WriterLine;

  const task = (more: Pick<OwnerTask, 'work'> & Partial<OwnerTask>): Promise<string> =>
    owner.run({ store, root, ...more });
  const adopt = async (): Promise<QemuMachine> => {
    const [found] = await findKeptMachines(store, root);
    adopted = await adoptKeptMachine(found!, vitrine, { root });
    line = new WriterLine(adopted.serial);
    return adopted;
  };
  const layersIn = async (): Promise<string[]> =>
    (await readdir(disks)).filter((name) => name.endsWith('.qcow2')).sort();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-kept-disks-'));
    [disks, store, root] = [join(folder, 'disks'), join(folder, 'store'), join(folder, 'run')];
    for (const path of [disks, store, root]) await mkdir(path, { mode: 0o700 });
    const base = join(folder, 'base.raw');
    await writeFile(base, '');
    await truncate(base, 8 * MIB);
    owner = await buildOwner();
    linux = linuxWithDrivers(program, DISK_DRIVERS);
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: await openFsStore(store), kernels, codecs });
    const files = [{ name: 'data', file: base, format: 'raw' }] as const;
    await task({ work: 'nothing', start: { profile: linux.profile, disks: { folder: disks, files } } });
    const machine = await adopt();
    await line.startWriting();
    await line.untilWritten(3);
    snapshot = (await machine.machine.save()).snapshot.id;
    await line.untilMore(2);
    await machine.leave();
  });
  afterAll(async () => {
    await adopted?.close();
    await vitrine?.close();
    await owner?.remove();
    await rm(folder, { recursive: true, force: true });
    await rm(linux.folder, { recursive: true, force: true });
  });

  for (const [work, stride] of [
    ['save', 2],
    ['restore', 29],
  ] as const) {
    it(`in a ${work} goes on with its disk, or says that it cannot`, async () => {
      for (let step = random.below(stride); ; step += stride) {
        const outcome = await task({ work, step, snapshot, isSent: random.below(2) === 1 });
        const machine = await adopt();
        if (machine.guest.isTorn) {
          await machine.machine.restore(snapshot);
          await machine.start();
        } else expect(await machine.guest.isRunning(), `after step ${step}`).toBe(true);
        await line.untilMore(3);
        const [from] = line.written as [number];
        expect(line.written, `after step ${step}`).toEqual(line.written.map((_, i) => from + i));
        await machine.leave();
        if (outcome === 'done') break;
      }
    });
  }

  it('has the layers that it stands on and snapshots name, and no others', async () => {
    const machine = await adopt();
    const { snapshot: last } = await machine.machine.save();
    await collectDisks(vitrine, disks);
    await line.untilMore(2);
    await machine.stop();
    await machine.machine.restore(last.id);
    line.forget();
    await machine.start();
    await line.untilMore(2);
    await machine.close();
    adopted = undefined;
    await vitrine.delete((await vitrine.log()).map(({ id }) => id));
    await collectDisks(vitrine, disks);
    expect(await layersIn()).toEqual([]);
  });
});

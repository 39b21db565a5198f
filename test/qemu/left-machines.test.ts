// Machines of others whose attacher is killed in the midst of a save or a restore: the next one that looks lets them go on, with nothing
// of ours in them, or says that it cannot; what their owner paused stays paused.

import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { attachQemu } from '../../src/host/qemu/attach.ts';
import { continueLeftMachines } from '../../src/host/qemu/left-machines.ts';
import { collectRunDirectories, socketFileAt } from '../../src/host/qemu/run-directory.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';
import { BareQemu } from './bare-qemu.ts';
import type { OwnerTask } from './kept-owner.ts';
import { buildOwner, type OwnerProgram } from './kept-program.ts';
import { faultOf, QEMUS, readPulse } from './pulse-machine.ts';

/** A restore has put pages in by then, and has some thirty steps; a save has fewer. */
const TORN_FROM = 8;
const FAR = 11;
const random = new Random(seedOfRun());
const { program } = QEMUS[random.below(QEMUS.length)]!;

describe('a machine of others whose attacher is killed', () => {
  let owner: OwnerProgram;
  let folder: string;
  let store: string;
  let root: string;
  let vitrine: Vitrine;
  let snapshot: string;
  let qemu: BareQemu;
  let socket: string;

  const task = (more: Pick<OwnerTask, 'work'> & Partial<OwnerTask>): Promise<string> =>
    owner.run({ store, root, attach: socket, snapshot, ...more });
  const status = async () => ((await qemu.call('query-status')) as { status: string }).status;
  const ours = async (): Promise<string[]> => {
    const nodes = (await qemu.call('query-named-block-nodes', { flat: true })) as { 'node-name': string }[];
    return nodes.map((node) => node['node-name']).filter((name) => name.startsWith('vitrine'));
  };
  const isSharedIgnored = async (): Promise<boolean> => {
    const all = (await qemu.call('query-migrate-capabilities')) as { capability: string; state: boolean }[];
    return all.some(({ capability, state }) => capability === 'x-ignore-shared' && state);
  };
  /** Counts on, as a machine does that was not changed behind its back. */
  const expectWhole = async (): Promise<void> => {
    const attached = await attachQemu('theirs', socket, vitrine, { root });
    const { loops } = await readPulse(attached.guest);
    await expect
      .poll(async () => (await readPulse(attached.guest)).loops, { timeout: 60_000 })
      .toBeGreaterThan(loops);
    await attached.stop();
    expect(faultOf(await readPulse(attached.guest))).toBe('none');
    await attached.start();
    await attached.detach();
  };

  beforeAll(async () => {
    owner = await buildOwner();
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    folder = await mkdtemp(join(tmpdir(), 'vitrine-left-'));
    [store, root] = [join(folder, 'store'), join(folder, 'run')];
    for (const path of [store, root]) await mkdir(path, { mode: 0o700 });
    vitrine = await openEngine({ store: await openFsStore(store), kernels, codecs });
  });
  beforeEach(async () => {
    qemu = await BareQemu.startPulse(program, (place) => [
      ...['-machine', 'pc-q35-7.2', '-m', '16', '-device', 'VGA'],
      ...['-chardev', `socket,id=second,path=${join(place, 'second')},server=on,wait=off`],
      ...['-mon', 'chardev=second,mode=control'],
    ]);
    socket = join(qemu.folder, 'second');
    const attached = await attachQemu('theirs', socket, vitrine, { root });
    snapshot = (await attached.machine.save()).snapshot.id;
    await attached.detach();
  });
  afterEach(async () => {
    await qemu.close();
    expect(await readdir(root)).toEqual([]);
  });
  afterAll(async () => {
    await vitrine?.close();
    await owner?.remove();
    await rm(folder, { recursive: true, force: true });
  });

  for (const work of ['save', 'restore'] as const) {
    it(`in a ${work} goes on, or is told of as torn`, async () => {
      const outcomes = new Set<string>();
      for (let step = random.below(2); ; step += step < TORN_FROM ? 2 : FAR) {
        const ended = await task({ work, step, isSent: random.below(2) === 1 });
        const wasPaused = (await status()) !== 'running';
        // Nobody else takes it for rubbish.
        expect(await collectRunDirectories(root)).toEqual([]);
        const [left, ...others] = await continueLeftMachines(root);
        expect({ ...left, step }).toMatchObject({ name: 'theirs', socket, step });
        expect(others).toEqual([]);
        expect(await readdir(root)).toEqual([]);
        outcomes.add(left!.outcome);
        expect(await ours()).toEqual([]);
        expect(await isSharedIgnored()).toBe(false);
        if (left!.outcome === 'torn') {
          expect(work).toBe('restore');
          expect(await status()).not.toBe('running');
          const attached = await attachQemu('theirs', socket, vitrine, { root });
          await attached.machine.restore(snapshot);
          await attached.start();
          await attached.detach();
        } else if (wasPaused) expect(left!.outcome).toBe('continued');
        expect(await status(), `after step ${step}, ${left!.outcome}`).toBe('running');
        await expectWhole();
        if (ended === 'done') break;
      }
      expect(outcomes).toContain('continued');
      expect(outcomes).toContain('untouched');
      if (work === 'restore') expect(outcomes).toContain('torn');
    });
  }

  it('is let go on by whoever attaches it next', async () => {
    for (let step = 0; (await status()) === 'running'; step++) {
      await continueLeftMachines(root);
      if ((await task({ work: 'save', step, isSent: true })) === 'done') throw new Error('it never rested');
      // What was sent may arrive a moment later.
      await qemu.call('query-status');
    }
    const attached = await attachQemu('theirs', socket, vitrine, { root });
    expect(await attached.guest.isRunning()).toBe(true);
    await attached.detach();
    await expectWhole();
  });

  it('rests where its owner stopped it', async () => {
    await qemu.call('stop');
    await task({ work: 'save', step: 6 });
    expect(await continueLeftMachines(root)).toMatchObject([{ outcome: 'untouched' }]);
    expect(await status()).toBe('paused');
    await qemu.call('cont');
  });

  it('whose monitor has another client is looked for again, one that ended is forgotten', async () => {
    await task({ work: 'save', step: 6 });
    const other = connect(socket);
    await new Promise((resolve) => other.once('data', resolve));
    const [left] = await continueLeftMachines(root);
    expect(left).toMatchObject({ outcome: 'out-of-reach', because: expect.any(String) });
    other.destroy();
    await expect
      .poll(async () => (await continueLeftMachines(root))[0]?.outcome)
      .toMatch(/continued|untouched/);
    await task({ work: 'save', step: 6 });
    expect(await socketFileAt(socket)).toBeDefined();
    qemu.process.kill('SIGKILL');
    await new Promise((resolve) => qemu.process.once('exit', resolve));
    expect(await continueLeftMachines(root)).toEqual([]);
  });
});

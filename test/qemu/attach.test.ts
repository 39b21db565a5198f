// Machines that nobody of ours started: saved, brought back and left, and nothing of ours is in them afterwards.

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { PULSE } from '../../src/guest/pulse/pulse.ts';
import { type AttachedMachine, type AttachOptions, attachQemu } from '../../src/host/qemu/attach.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf, whilePaused } from '../../src/testing/guest-suites/subject.ts';
import { BareQemu, isPulseWhole } from './bare-qemu.ts';
import { faultOf, QEMUS, readPulse } from './pulse-machine.ts';

describe.each(QEMUS)('a machine of QEMU $version that others started', ({ program }) => {
  let vitrine: Vitrine;
  let root: string;
  let qemu: BareQemu;
  let attached: AttachedMachine | undefined;

  // Its own monitor is a tester's; the second one is ours.
  const start = (more: readonly string[] = []): Promise<BareQemu> =>
    BareQemu.startPulse(program, (folder) => [
      ...['-machine', 'pc-q35-7.2', '-m', '16', ...more],
      ...['-chardev', `socket,id=second,path=${join(folder, 'second')},server=on,wait=off`],
      ...['-mon', 'chardev=second,mode=control'],
    ]);
  const attach = async (options: AttachOptions = {}): Promise<AttachedMachine> => {
    attached = await attachQemu('theirs', join(qemu.folder, 'second'), vitrine, { root, ...options });
    return attached;
  };
  const untilLoops = ({ guest }: AttachedMachine, loops: number) =>
    vi.waitUntil(async () => (await readPulse(guest)).loops >= loops, { timeout: 60_000, interval: 20 });

  beforeAll(async () => {
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
  });
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'vitrine-attach-'));
    qemu = await start(['-device', 'VGA']);
  });
  afterEach(async () => {
    await attached?.detach();
    attached = undefined;
    await qemu.close();
    expect(await readdir(root)).toEqual([]);
    await rm(root, { recursive: true, force: true });
  });
  afterAll(() => vitrine.close());

  it.each(['process', 'monitor'] as const)('goes back and on exactly, RAM by the %s', async (memory) => {
    const { machine, guest } = await attach({ memory });
    expect(attached!.memory).toBe(memory);
    expect(await guest.isRunning()).toBe(true);
    await untilLoops(attached!, 20);
    // What the monitor alone gives is of its last rest: it has to rest.
    const { consistency } = await machine.peek([{ address: 0, lengthBytes: 8 }], { consistency: 'torn' });
    expect(consistency).toBe(memory === 'process' ? 'torn' : 'instant');
    await attached!.stop();
    const at = await readPulse(guest);
    const { snapshot } = await machine.save();
    expect(snapshot.statistics.pagesChanged).toBeGreaterThan(0);
    for (let round = 0; round < 3; round++) {
      await attached!.start();
      await untilLoops(attached!, at.loops + 60);
      await attached!.stop();
      await machine.restore(snapshot.id);
      expect(await readPulse(guest)).toEqual(at);
    }
    await attached!.start();
    await untilLoops(attached!, at.loops + 300);
    expect(faultOf(await readPulse(guest))).toBe('none');
  });

  it('sees the memory that the machine itself sees', async () => {
    const { guest } = await attach();
    expect(attached!.memory).toBe('process');
    await untilLoops(attached!, 10);
    await attached!.stop();
    const ours = new Uint8Array(0x20_0000);
    guest.readTorn({ region: 0, offsetBytes: 0, lengthBytes: ours.length }, ours);
    const theirs = await qemu.memory(0x10_0000, 0x10_0000);
    expect(Buffer.compare(ours.subarray(0x10_0000), theirs)).toBe(0);
    expect(await qemu.words(PULSE.loops, 1)).toEqual(new Uint32Array(ours.buffer, PULSE.loops, 1));
  });

  it('takes what is written to its memory by the monitor alone, too', async () => {
    const { guest } = await attach({ memory: 'monitor' });
    await untilLoops(attached!, 10);
    await attached!.stop();
    const span = { region: 0, offsetBytes: 0x30_0ffc, lengthBytes: 8 };
    const word = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    await whilePaused(guest, () => guest.writePages(span, word));
    expect(await qemu.memory(0x30_0ffc, 8)).toEqual(Buffer.from(word));
    await attached!.start();
    const { loops } = await readPulse(guest);
    await untilLoops(attached!, loops + 300);
    expect(faultOf(await readPulse(guest))).toBe('none');
  });

  it('goes on by itself when we leave, with nothing of ours in it', async () => {
    const nodes = () => qemu.call('query-named-block-nodes', { flat: true });
    const before = [await nodes(), await qemu.call('query-migrate-capabilities')];
    const { machine } = await attach();
    await untilLoops(attached!, 10);
    const { snapshot } = await machine.save();
    await machine.restore(snapshot.id);
    await attached!.detach();
    expect([await nodes(), await qemu.call('query-migrate-capabilities')]).toEqual(before);
    const [loops] = await qemu.words(PULSE.loops, 1);
    await vi.waitUntil(async () => (await qemu.words(PULSE.loops, 1))[0]! > loops! + 300, {
      timeout: 60_000,
    });
    expect(await isPulseWhole(qemu)).toBe(true);
    // And is found again.
    await attach();
  });

  it('is told from one that is not there, not ours, or gone', async () => {
    const path = join(qemu.folder, 'second');
    expect(await codeOf(() => attachQemu('theirs', join(root, 'none'), vitrine, { root }))).toBe(
      'guest-lost',
    );
    // A monitor serves one at a time, and its other one is the test's own.
    expect(await codeOf(() => attachQemu('theirs', join(qemu.folder, 'qmp'), vitrine, { root }))).toBe(
      'busy',
    );
    // Another process than the machine's has no such memory.
    const other = codeOf(() => attachQemu('theirs', path, vitrine, { root, pid: process.pid }));
    expect(await other).toBe('guest-failed');
    const { machine } = await attach();
    qemu.process.kill('SIGKILL');
    expect(await codeOf(() => machine.save())).toBe('guest-lost');
  });

  it('with a disk that would not go back is saved, and restored only where others put that back', async () => {
    await qemu.close();
    const disk = ['-blockdev', 'driver=null-co,node-name=disk,size=1048576,read-zeroes=on'];
    qemu = await start([...disk, '-device', 'virtio-blk-pci,drive=disk']);
    const { machine } = await attach();
    await untilLoops(attached!, 10);
    await attached!.stop();
    const at = await readPulse(attached!.guest);
    const { snapshot } = await machine.save();
    expect(await codeOf(() => machine.restore(snapshot.id))).toBe('unsupported');
    expect(await readPulse(attached!.guest)).toEqual(at);
    await attached!.start();
    await untilLoops(attached!, at.loops + 20);
    await attached!.detach();
    attached = await attachQemu('theirs', join(qemu.folder, 'second'), vitrine, { root, disks: 'others' });
    await attached.stop();
    await attached.machine.restore(snapshot.id);
    expect(await readPulse(attached.guest)).toEqual(at);
  });

  it('with a device that cannot be saved says so and runs on', async () => {
    await qemu.close();
    qemu = await start(['-device', 'nvme,serial=1']);
    const refused = attachQemu('theirs', join(qemu.folder, 'second'), vitrine, { root });
    await expect(refused).rejects.toMatchObject({
      code: 'unsupported',
      data: { said: expect.stringContaining('nvme') },
    });
    const [loops] = await qemu.words(PULSE.loops, 1);
    await vi.waitUntil(async () => (await qemu.words(PULSE.loops, 1))[0]! > loops!, { timeout: 60_000 });
  });
});

// A restore into a new process made beside one that goes on writing to its disk: each has a layer of its own, so that the new one has the
// disk of the snapshot, and what the old one wrote meanwhile is gone with it.

import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { QemuHostMachine } from '../../src/host/bridge/qemu-host-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { DISK_DRIVERS, linuxWithDrivers, WriterLine } from './disk-linux.ts';
import { NO_PAGE_FAULTS, QEMUS } from './pulse-machine.ts';

const DISK_BYTES = 4 * MIB;
const MODES =
  NO_PAGE_FAULTS === undefined ? (['fresh', 'lazy', 'fresh'] as const) : (['fresh', 'fresh'] as const);

describe.each(QEMUS)('a restore beside a writer to a disk in QEMU $version', ({ program }) => {
  let folder: string;
  let engine: Vitrine;
  let linux: ReturnType<typeof linuxWithDrivers>;
  let host: QemuHostMachine;

  beforeAll(async () => {
    folder = await mkdtemp('/dev/shm/vitrine-beside-disks-');
    const file = join(folder, 'base.raw');
    await writeFile(file, '');
    await truncate(file, DISK_BYTES);
    linux = linuxWithDrivers(program, DISK_DRIVERS);
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    engine = await openEngine({ store: openMemoryStore(), kernels, codecs });
    const recipe = { profile: linux.profile, disks: [{ name: 'data', file, format: 'raw' as const }] };
    host = new QemuHostMachine({ name: 'writer', recipe, engine, diskFolder: folder });
    await host.start();
  });
  afterAll(async () => {
    await host?.close();
    await engine?.close();
    await rm(folder, { recursive: true, force: true });
    await rm(linux.folder, { recursive: true, force: true });
  });

  it('has the disk of its snapshot, however often', async () => {
    const line = new WriterLine({
      onOutput: (listener) => host.console.listen(listener),
      write: (input) => void host.console.write(new TextEncoder().encode(String(input))),
    });
    await line.startWriting();
    await line.untilWritten(5);
    const { snapshot } = await host.machine!.save();
    const files = (await readdir(folder)).length;
    let first: number | undefined;
    for (const mode of MODES) {
      await line.untilMore(5);
      const before = (await host.facts()).pid;
      line.forget();
      await host.restore(snapshot.id, mode, {});
      await expect.poll(() => host.machine?.base, { timeout: 60_000 }).toBe(snapshot.id);
      expect((await host.facts()).pid).not.toBe(before);
      await line.untilMore(8);
      // What the old one said to its end, and then the new one from where the snapshot was, each one by one.
      const { written } = line;
      const turn = written.findIndex((number, at) => at > 0 && number < written[at - 1]!);
      const [old, again] = turn < 0 ? [[], written] : [written.slice(0, turn), written.slice(turn)];
      expect(old).toEqual(old.map((_, at) => old[0]! + at));
      first ??= again[0]!;
      expect(first).toBeGreaterThan(5);
      expect(again).toEqual(again.map((_, at) => first! + at));
      expect(await readdir(folder)).toHaveLength(files);
    }
  });
});

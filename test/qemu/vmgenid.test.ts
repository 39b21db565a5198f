// A Linux that hears that it goes on elsewhere: in each new process its kernel makes its random numbers anew, so that no two machines of
// one snapshot go on with the same; in its own process it goes back to those that it had.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { openClonePool } from '../../src/host/qemu/clone-pool.ts';
import { openQemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { linuxProfile, Shell } from './linux-machine.ts';
import { QEMUS } from './pulse-machine.ts';

const HEARD = 'dmesg | grep -c "reseeded due to virtual machine fork"';

describe.each(QEMUS)('a Linux with a generation id in QEMU $version', ({ program }) => {
  let vitrine: Vitrine;
  let root: string;
  const opened: { close(): Promise<void> }[] = [];
  /** A kernel whose random numbers are ready: else it says nothing of them. */
  const profile = linuxProfile(program, {
    append: `${linuxProfile(program).append} random.trust_cpu=on`,
    cpu: 'max',
    args: ['-device', 'vmgenid,guid=auto'],
  });

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'vitrine-vmgenid-'));
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
  });
  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close();
  });
  afterAll(async () => {
    await vitrine?.close();
    await rm(root, { recursive: true, force: true });
  });

  it('hears of each process in which it goes on, and of no other restore', async () => {
    const machine = await openQemuMachine('generations', profile, vitrine, { root, softDirty: false });
    opened.push(machine);
    const shell = new Shell(machine.serial);
    await machine.start();
    await shell.untilUp();
    expect(await shell.run(HEARD)).toBe('0');
    await machine.stop();
    const { id } = (await machine.machine.save()).snapshot;
    const { config } = (await vitrine.show(id)).manifest.machine;
    expect(config['device.vmgenid@0']).toBe(true);
    await machine.machine.restore(id);
    await machine.start();
    expect(await shell.run(HEARD)).toBe('0');
    // In a copy of its memory, in a process of its own.
    expect(await machine.quicken()).toMatchObject({ moved: true });
    await expect.poll(() => shell.run(HEARD), { timeout: 20_000 }).toBe('1');
    await machine.close();

    const pool = await openClonePool('generations', profile, vitrine, id, { root, spare: 0 });
    opened.push(pool);
    const numbers = new Set<string>();
    for (let count = 0; count < 3; count++) {
      const clone = await pool.clone();
      const cloned = new Shell(clone.serial);
      await clone.start();
      await expect.poll(() => cloned.run(HEARD), { timeout: 20_000 }).toBe('1');
      numbers.add(await cloned.run('head -c 16 /dev/urandom | md5sum'));
    }
    expect(numbers.size).toBe(3);
    await pool.close();

    const again = await openQemuMachine('generations', profile, vitrine, { root, snapshot: id });
    opened.push(again);
    await again.start();
    await expect.poll(() => new Shell(again.serial).run(HEARD), { timeout: 20_000 }).toBe('1');
  });
});

// Free memory of a Linux in QEMU: its balloon gives it back, saves and processes become smaller by it, and what is in use comes
// back byte by byte wherever it is brought back, also where it was given back after the save.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { type AttachedMachine, attachQemu } from '../../src/host/qemu/attach.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { connectSerial, type SerialLine } from '../../src/host/qemu/serial-line.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { BareQemu } from './bare-qemu.ts';
import { LINUX_TIMEOUT_MS, linuxProfile, Shell } from './linux-machine.ts';
import { NO_PAGE_FAULTS, QEMUS, ramOf } from './pulse-machine.ts';

const MEMORY_BYTES = 192 * MIB;
/** Files of bytes that do not compress; the sum of the first is in the shell's `$sum`. */
const KEEP = 'dd if=/dev/urandom of=kept bs=1M count=4 2>/dev/null; sum=$(md5sum kept)';
const FILL = 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do cat kept; done >x';
const FREE = 'rm x';
/**
 * Of the 64 MiB that `FILL` takes, what is told at least: blocks that are too small are not, and after a reset what was free then has
 * room again.
 */
const FREED_BYTES = 32 * MIB;
const IS_KEPT = '[ "$(md5sum kept)" = "$sum" ] && echo kept';
const IS_FILLED =
  'for at in 0 5 15; do dd if=x bs=4M skip=$at count=1 2>/dev/null | cmp - kept || echo other; done; echo same';
/** A processor that waits for a page of a live save on a busy host is none. */
const COMPLAINTS = 'dmesg | grep -v "soft lockup" | grep -E "BUG:|Kernel panic|Bad page"';

describe.each(QEMUS)('free pages of a Linux in QEMU $version', ({ program }) => {
  let vitrine: Vitrine;
  let root: string;
  const opened: { close(): Promise<void> }[] = [];

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'vitrine-free-'));
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
  });
  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close();
  });
  afterAll(async () => {
    await vitrine.close();
    await rm(root, { recursive: true, force: true });
  });

  const profile = (more: QemuProfile = {}): QemuProfile =>
    linuxProfile(program, { memoryBytes: MEMORY_BYTES, freePages: true, ...more });
  const open = async (more: QemuProfile = {}, snapshot?: string) => {
    const machine = await openQemuMachine(
      'free',
      profile(more),
      vitrine,
      snapshot === undefined ? {} : { snapshot },
    );
    opened.push(machine);
    return { machine, shell: new Shell(machine.serial) };
  };
  const boot = async (more: QemuProfile = {}) => {
    const here = await open(more);
    // Nothing runs in it that could.
    expect(await here.machine.status()).toMatchObject({ freePages: 'untold' });
    await here.machine.start();
    await here.shell.untilUp();
    await here.shell.run(KEEP);
    return here;
  };
  const usedBytes = async (machine: QemuMachine) => (await machine.status()).usedMemoryBytes;
  const untilBelow = (machine: QemuMachine, bytes: number) =>
    vi.waitUntil(async () => (await usedBytes(machine)) < bytes, {
      timeout: LINUX_TIMEOUT_MS,
      interval: 100,
    });

  it('take no room, here and in snapshots, and what is in use is brought back whole', async () => {
    const { machine, shell } = await boot();
    expect(await machine.status()).toMatchObject({ freePages: 'told' });
    await shell.run(FILL);
    await machine.stop();
    const full = await machine.machine.save({ full: true });
    await machine.start();
    const filled = await usedBytes(machine);
    await shell.run(FREE);
    await untilBelow(machine, filled - FREED_BYTES);
    await machine.stop();
    const freed = await machine.machine.save({ full: true });
    const bytesOf = ({ snapshot }: typeof full) => snapshot.statistics.pagesChanged * 4096;
    expect(bytesOf(freed)).toBeLessThan(bytesOf(full) - FREED_BYTES);
    // As it is, to the byte.
    const ram = ramOf(machine);
    const [saved] = await vitrine.peek(freed.snapshot.id, [{ address: 0, lengthBytes: MEMORY_BYTES }]);
    expect(ram.equals(saved!)).toBe(true);

    // To the time when it was in use, though it has been given back since.
    await machine.machine.restore(full.snapshot.id);
    await machine.start();
    shell.forget();
    expect(await shell.run(IS_KEPT)).toBe('kept');
    expect(await shell.run(IS_FILLED)).toBe('same');
    await machine.close();

    const next = await open({}, freed.snapshot.id);
    expect(await usedBytes(next.machine)).toBeLessThan(filled - FREED_BYTES);
    await next.machine.start();
    next.shell.forget();
    expect(await next.shell.run(IS_KEPT)).toBe('kept');
    expect(await next.shell.run(COMPLAINTS)).toBe('');
    expect(await next.machine.status()).toMatchObject({ freePages: 'told', said: '' });
  });

  // Without KVM a machine that runs is watched by userfaultfd, which not everybody may use.
  it.skipIf(NO_PAGE_FAULTS)(
    'are told while saves come and go, at rest and while it runs, and each of them goes on',
    async () => {
      const { machine, shell } = await boot();
      // Not in the foreground: an interrupt may come between two programs, and be nobody's.
      machine.serial.write(`(while :; do ${FILL}; ${FREE}; echo round; done) &\n`);
      const saves: string[] = [];
      for (let count = 1; count <= 2; count++) {
        shell.forget();
        await shell.until(/(round\r\n){2}/);
        saves.push((await machine.machine.save()).snapshot.id);
        await shell.until(/(round\r\n){3}/);
        const live = await machine.machine.save({ live: {} });
        expect(live.live).toMatchObject({ mode: 'stream' });
        saves.push(live.snapshot.id);
      }
      for (const id of saves.reverse()) {
        await machine.machine.restore(id);
        shell.forget();
        await shell.until(/round\r\n/);
        await shell.run('kill $!; wait $!');
        expect(await shell.run(IS_KEPT)).toBe('kept');
      }
      expect(await shell.run(COMPLAINTS)).toBe('');
    },
  );

  it('are in use again after a reset to a checkpoint from before', async () => {
    const { machine, shell } = await boot();
    await shell.run(FILL);
    const filled = await usedBytes(machine);
    await machine.machine.checkpoint();
    for (let round = 0; round < 2; round++) {
      await shell.run(FREE);
      await untilBelow(machine, filled - FREED_BYTES);
      await machine.machine.reset();
      shell.forget();
      expect(await shell.run(IS_FILLED)).toBe('same');
    }
    expect(await shell.run(COMPLAINTS)).toBe('');
  });

  // What is told of pages is the same in all of them.
  it.runIf(program === QEMUS[0]!.program)(
    'of a machine that others started come back with a reset, too',
    async () => {
      const { kernel, initrd, append } = profile();
      const folder = await mkdtemp(join(tmpdir(), 'vitrine-free-'));
      const files = { serial: join(folder, 'serial'), serialLog: join(folder, 'serial.log') };
      const qemu = await BareQemu.start(program, folder, [
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-machine', 'pc-i440fx-7.2'],
        ...['-m', `${MEMORY_BYTES / MIB}`, '-kernel', kernel!, '-initrd', initrd!, '-append', append!],
        ...['-device', 'virtio-balloon-pci,free-page-reporting=on'],
        ...['-chardev', `socket,id=s,path=${files.serial},server=on,wait=off,logfile=${files.serialLog}`],
        ...['-serial', 'chardev:s'],
        ...['-chardev', `socket,id=second,path=${join(folder, 'second')},server=on,wait=off`],
        ...['-mon', 'chardev=second,mode=control'],
      ]);
      opened.push(qemu);
      const serial: SerialLine = await connectSerial(files);
      const shell = new Shell(serial);
      await shell.untilUp();
      await shell.run(KEEP);
      await shell.run(FILL);
      const attached: AttachedMachine = await attachQemu('theirs', join(folder, 'second'), vitrine, { root });
      opened.push({ close: () => attached.detach() });
      expect((await attached.machine.describe()).traits.tracking).toBe('none');
      // As many as it takes for what the kernel tells to be believed, where it is.
      for (let count = 0; count < 4; count++) await attached.machine.checkpoint();
      const filled = attached.guest.usedRamBytes;
      await shell.run(FREE);
      await vi.waitUntil(() => attached.guest.usedRamBytes < filled - FREED_BYTES, {
        timeout: LINUX_TIMEOUT_MS,
        interval: 100,
      });
      await attached.machine.reset();
      shell.forget();
      expect(await shell.run(IS_FILLED)).toBe('same');
      expect(await shell.run(COMPLAINTS)).toBe('');
    },
  );
});

// The doorbell of a Linux in QEMU: its shell asks to be saved and put back, and reads how it came back, in the same machine, in a
// new process and in a clone; and a guest that floods, lies and leaves stops nobody but itself.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Clock, SYSTEM_CLOCK } from '../../src/base/clock.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { type ServedBellRing, serveBell } from '../../src/host/qemu/bell-service.ts';
import { openClonePool } from '../../src/host/qemu/clone-pool.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { linuxProfile, Shell } from './linux-machine.ts';
import { QEMUS, ramOf } from './pulse-machine.ts';

const COMPLAINTS = 'dmesg | grep -E "BUG:|Kernel panic|stall|inconsistent"';
/** The ring before it may be in hand still, though nobody waits for its answer. */
const WHEN_FREE =
  'answer=$(bell checkpoint); while [ "$answer" = "refused busy" ]; do answer=$(bell checkpoint); done; echo $answer';
const DEVICE = '/dev/$(basename /sys/class/virtio-ports/*)';

describe.each(QEMUS)('the doorbell of a Linux in QEMU $version', ({ program }) => {
  let vitrine: Vitrine;
  let root: string;
  /** Up, with the port open to nobody; each test goes on from here. */
  let booted: string;
  const opened: { close(): Promise<void> }[] = [];
  const served: ServedBellRing[] = [];

  /** Without the watchdog of a kernel that sees its processor's counter go on while all else goes back: TCG does not put it back. */
  const profile = (): QemuProfile =>
    linuxProfile(program, { bell: true, append: `${linuxProfile(program).append} nowatchdog` });
  const open = async (snapshot?: string, allow = ['save', 'checkpoint', 'reset'] as const) => {
    const machine = await openQemuMachine('bell', profile(), vitrine, {
      softDirty: false,
      root,
      ...(snapshot === undefined ? {} : { snapshot }),
    });
    opened.push(machine);
    serve(machine, allow);
    return { machine, shell: new Shell(machine.serial) };
  };
  const serve = (
    machine: QemuMachine,
    allow: readonly ('save' | 'checkpoint' | 'reset')[] = ['save', 'checkpoint', 'reset'],
    clock: Clock = SYSTEM_CLOCK,
  ) => {
    const onServed = (ring: ServedBellRing) => void served.push(ring);
    serveBell(machine.machine, machine.guest.doorbell!, { allow, onServed, clock });
  };
  const start = async () => {
    const here = await open(booted);
    await here.machine.start();
    return here;
  };

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'vitrine-bell-'));
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
    const { machine, shell } = await open();
    await machine.start();
    await shell.untilUp();
    await machine.stop();
    booted = (await machine.machine.save()).snapshot.id;
    await machine.close();
  });
  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close();
    served.length = 0;
  });
  afterAll(async () => {
    await vitrine?.close();
    await rm(root, { recursive: true, force: true });
  });

  it('says saved with the id, and restored with it wherever that is brought back', async () => {
    const { machine, shell } = await start();
    expect(await shell.run('echo one >n; bell save at one; cat n')).toMatch(/^saved [0-9a-f]{64}\none$/);
    const { id, label } = (await vitrine.log()).find((one) => one.label === 'at one')!;
    expect(label).toBe('at one');
    expect(shell.output).toContain(`saved ${id}`);
    expect(served).toMatchObject([{ word: 'save', answer: 'first', snapshot: id, error: null }]);
    await shell.run('echo two >n');
    // By its host, in place.
    shell.forget();
    await machine.machine.restore(id);
    await shell.until(new RegExp(`restored ${id}\\r\\none\\r\\n`));
    // By itself: its last point.
    shell.forget();
    machine.serial.write('bell reset\n');
    await shell.until(new RegExp(`restored ${id}\\r\\none\\r\\n`));
    expect(machine.guest.doorbell!.counts).toEqual({ rings: 2, saves: 1, resets: 1, refused: 0 });
    await machine.close();
    // In a new process, which goes back to where it came from.
    const next = await open(id);
    await next.machine.start();
    await next.shell.until(new RegExp(`restored ${id}\\r\\none\\r\\n`));
    expect(await next.shell.run(COMPLAINTS)).toBe('');
    next.shell.forget();
    next.machine.serial.write('bell reset\n');
    await next.shell.until(new RegExp(`restored ${id}\\r\\none\\r\\n`));
    expect((await next.machine.status()).said).toBe('');
    await next.machine.close();
    // In clones, each with a port of its own.
    const pool = await openClonePool('bell', profile(), vitrine, id, { root, spare: 0 });
    opened.push(pool);
    for (let count = 0; count < 2; count++) {
      const clone = await pool.clone();
      const cloned = new Shell(clone.serial);
      await clone.start();
      await cloned.until(new RegExp(`restored ${id}\\r\\none\\r\\n`));
    }
  });

  it('puts a guest back a hundred times in a loop', async () => {
    const { machine, shell } = await start();
    // What the loop counts is in the host alone: the guest forgets it each time.
    shell.forget();
    machine.serial.write('echo $((6*7)) >n; bell checkpoint; cat n; echo 43 >n; bell reset\n');
    await shell.until(/saved\r\n42\r\n(restored\r\n42\r\n){100}/);
    await machine.stop();
    expect(machine.guest.doorbell!.counts.resets).toBeGreaterThanOrEqual(100);
    machine.guest.doorbell!.stop();
    shell.forget();
    await machine.start();
    await shell.until(/nobody\r\n/);
    expect(await shell.run(COMPLAINTS)).toBe('');
    expect((await machine.status()).said).toBe('');
  });

  it('goes on in the process that its machine moves into: who waits is answered there, and put back from there', async () => {
    const { machine, shell } = await start();
    const bell = machine.guest.doorbell!;
    // One ring after another, some of them while it moves: each is answered, once.
    shell.forget();
    machine.serial.write('n=0; while [ $n -lt 60 ]; do bell checkpoint; n=$((n+1)); done; echo rang-$n.\n');
    await shell.until(/saved\r\n(.*saved\r\n){3}/s);
    expect(await machine.quicken()).toMatchObject({ moved: true });
    expect(machine.guest.doorbell).toBe(bell);
    await shell.until(/rang-60\./);
    expect(shell.output.match(/^(saved|restored|refused.*|nobody)\r$/gm)).toEqual(Array(60).fill('saved\r'));
    expect(await shell.run(COMPLAINTS)).toBe('');
    // One that does nothing but ask to be put back leaves room to move, too. Its kernel may say that time leapt.
    shell.forget();
    machine.serial.write('echo $((6*7)) >n; bell checkpoint; cat n; echo 43 >n; bell reset\n');
    await shell.until(/saved\r\n42\r\n(restored\r\n42\r\n){5}/);
    const { resets } = bell.counts;
    await expect.poll(() => bell.counts.resets, { timeout: 60_000 }).toBeGreaterThan(resets + 30);
    await machine.quicken();
    expect((await machine.machine.describe()).tier).toBe('marks');
    await machine.stop();
    bell.stop();
    shell.forget();
    await machine.start();
    await shell.until(/nobody\r\n/);
    expect((await machine.status()).said).toBe('');
  });

  it('is answered in the process that its machine moves into at rest, when it runs', async () => {
    const { machine, shell } = await start();
    shell.forget();
    machine.serial.write('echo $((6*7)) >n; bell checkpoint; cat n; echo 43 >n; bell reset\n');
    await shell.until(/saved\r\n42\r\n(restored\r\n42\r\n){2}/);
    await machine.stop();
    // Behind the reset that it asked for, which may be under way.
    await machine.guest.doorbell!.between(() => machine.machine.reset());
    expect(await machine.quicken()).toMatchObject({ moved: true });
    shell.forget();
    await machine.start();
    await shell.until(/^restored\r\n42\r\n(restored\r\n42\r\n){5}/);
  });

  it('is answered in copies of an instant at which the answer was on its way', async () => {
    const { machine, shell } = await start();
    const bell = machine.guest.doorbell!;
    for (let round = 0; round < 4; round++) {
      const stopped = new Promise<void>((resolve) => {
        // QEMU has been asked by then whether the port is open, and has not answered: it is stopped right behind that.
        const onServed = () => setImmediate(() => resolve(machine.stop()));
        serveBell(machine.machine, bell, { allow: ['checkpoint'], onServed });
      });
      shell.forget();
      machine.serial.write('bell checkpoint\n');
      await stopped;
      const { snapshot } = await machine.machine.save();
      const copy = await open(snapshot.id);
      await copy.machine.start();
      await copy.shell.until(/^(saved|restored \w+)\r\n/m);
      await copy.machine.close();
      await machine.start();
      await shell.until(/^saved\r\n/m);
    }
  });

  it('refuses what is not allowed, not understood, or too much, and the machine is saved beside a flood', async () => {
    const { machine, shell } = await start();
    expect(await shell.run('bell dance; bell reset with words')).toBe(
      'refused not-understood\nrefused not-understood',
    );
    // On a busy host two saves may take a second, after which a third one is allowed.
    serve(machine, ['save'], { nowMs: () => 0, wallMs: () => 0 });
    expect(await shell.run('bell checkpoint; bell save; bell save; bell save')).toMatch(
      /^refused not-allowed\nsaved \w+\nsaved \w+\nrefused too-often$/,
    );
    // A line without an end, bytes that are no text, and one who closes the port before the answer comes.
    await shell.run(
      `head -c 100000 /dev/zero | tr '\\0' x >${DEVICE}; head -c 20000 /dev/urandom >${DEVICE}`,
    );
    await shell.run(`echo >${DEVICE}; echo save away >${DEVICE}`);
    expect(await shell.run(WHEN_FREE)).toBe('refused not-allowed');
    // It never reads an answer.
    shell.forget();
    machine.serial.write(`yes checkpoint >${DEVICE} & yes 'save flood' >x &\n`);
    const refused = () => machine.guest.doorbell!.counts.refused;
    await expect.poll(refused, { timeout: 60_000 }).toBeGreaterThan(100);
    for (let round = 0; round < 5; round++) {
      // At rest nothing moves in its memory, though both ends have more to say.
      await machine.guest.pause();
      const ram = ramOf(machine);
      for (let turn = 0; turn < 100; turn++) await machine.guest.isRunning();
      expect(ramOf(machine).equals(ram)).toBe(true);
      await machine.guest.resume();
      const { id } = (await machine.machine.save()).snapshot;
      await machine.machine.restore(id);
      await machine.machine.checkpoint();
      await machine.machine.reset();
    }
    shell.forget();
    await shell.run('kill $(pidof yes); wait; rm x');
    expect(await shell.run(WHEN_FREE)).toBe('refused not-allowed');
    expect(await shell.run(COMPLAINTS)).toBe('');
    expect((await machine.status()).said).toBe('');
    // What was saved beside it goes on.
    const last = machine.machine.base!;
    await machine.close();
    const next = await open(last);
    await next.machine.start();
    await next.shell.run('kill $(pidof yes); wait; rm x');
    expect(await next.shell.run(COMPLAINTS)).toBe('');
    expect((await next.machine.status()).said).toBe('');
  });

  it('is silent where nobody serves it, served by the engine alone, and part of what a machine is', async () => {
    const { machine, shell } = await start();
    machine.guest.doorbell!.stop();
    expect(await shell.run('bell save')).toBe('nobody');
    // As any guest's bell: without ids and labels.
    const serving = await machine.machine.serveDoorbell({ keep: 'checkpoint' });
    shell.forget();
    machine.serial.write('bell save; bell reset\n');
    await shell.until(/saved\r\n(restored\r\n){3}/);
    await serving.stop();
    const without = { ...profile(), bell: false };
    expect(await codeOf(() => openQemuMachine('bell', without, vitrine, { root, snapshot: booted }))).toBe(
      'guest-mismatch',
    );
  });
});

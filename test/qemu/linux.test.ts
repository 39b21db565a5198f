// Debian's Linux in QEMU: a loop in its shell counts, and goes on with the exact next number wherever it is brought back,
// in the same process and in a new one.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { LINUX_TIMEOUT_MS, linuxProfile, Shell } from './linux-machine.ts';
import { QEMUS } from './pulse-machine.ts';

/** Counts, with work in between that writes files and makes processes. */
const COUNTER =
  'i=0; while :; do i=$((i+1)); echo $i > /n; [ "$(cat /n)" = $i ] && echo "at $i"; usleep 20000; done';

const MACHINES: readonly (readonly [string, QemuProfile])[] = [
  ['a PC', { machine: 'pc' }],
  ['q35 with two CPUs and VGA', { machine: 'q35', cpus: 2, display: 'vga' }],
];

let directory: string;
let vitrine: Vitrine;
const opened: QemuMachine[] = [];
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vitrine-linux-'));
  const [kernels, codecs, store] = await Promise.all([loadKernels(), loadCodecs(), openFsStore(directory)]);
  vitrine = await openEngine({ store, kernels, codecs });
});
afterEach(async () => {
  for (const machine of opened.splice(0)) await machine.close();
});
afterAll(async () => {
  await vitrine.close();
  await rm(directory, { recursive: true, force: true });
});

async function open(profile: QemuProfile, snapshot?: string) {
  const options = snapshot === undefined ? {} : { snapshot };
  const machine = await openQemuMachine('linux', profile, vitrine, options);
  opened.push(machine);
  return { machine, shell: new Shell(machine.serial) };
}

/** The numbers that the counter printed. */
function numbersIn(shell: Shell): number[] {
  return [...shell.output.matchAll(/^at (\d+)\r$/gm)].map((match) => Number(match[1]));
}

/** Stops a machine where it is not within a line; the rest of one would be no number to whoever forgot its beginning. */
async function restBetweenLines({ machine, shell }: Awaited<ReturnType<typeof open>>): Promise<void> {
  const isBetween = (): boolean => shell.output.endsWith('\n');
  await machine.stop();
  while (!isBetween()) {
    await machine.start();
    await vi.waitUntil(isBetween, { timeout: LINUX_TIMEOUT_MS, interval: 5 });
    await machine.stop();
  }
}

/** Lets the machine run until the counter has come so much further; every number has to follow the one before. */
async function countOn(
  { machine, shell }: Awaited<ReturnType<typeof open>>,
  last: number,
  count: number,
): Promise<number> {
  shell.forget();
  await machine.start();
  await expect
    .poll(() => numbersIn(shell).length, { timeout: LINUX_TIMEOUT_MS, interval: 20 })
    .toBeGreaterThanOrEqual(count);
  await restBetweenLines({ machine, shell });
  const numbers = numbersIn(shell);
  expect(numbers).toEqual(numbers.map((_, index) => last + 1 + index));
  return numbers.at(-1)!;
}

for (const { version, program } of QEMUS) {
  for (const [kind, more] of MACHINES) {
    describe(`Linux in QEMU ${version}, ${kind}`, () => {
      it('counts on exactly after restores in place, a kill, and a checkpoint', async () => {
        const profile = linuxProfile(program, more);
        const first = await open(profile);
        await first.machine.start();
        await first.shell.untilUp();
        expect(await first.shell.run('uname -sm')).toBe('Linux i686');
        expect(await first.shell.run('nproc')).toBe(String(more.cpus ?? 1));
        first.shell.forget();
        first.machine.serial.write(`${COUNTER}\n`);
        await first.shell.until(/^at 1\r$/m);
        await restBetweenLines(first);
        const start = numbersIn(first.shell).at(-1)!;
        const saved = (await first.machine.machine.save()).snapshot.id;
        const later = await countOn(first, start, 10);
        const second = (await first.machine.machine.save()).snapshot.id;
        for (let round = 0; round < 2; round++) {
          await first.machine.machine.restore(saved);
          await countOn(first, start, 5);
          await first.machine.machine.restore(second);
          await countOn(first, later, 5);
        }
        process.kill(first.machine.process.pid, 'SIGKILL');
        await first.machine.lost;
        await first.machine.close();

        const next = await open(profile, second);
        await countOn(next, later, 5);
        await next.machine.machine.restore(saved);
        await next.machine.machine.checkpoint();
        for (let round = 0; round < 10; round++) {
          await countOn(next, start, 1 + (round % 3));
          await next.machine.machine.reset();
        }
        await countOn(next, start, 5);
        // The shell, and what is behind it, is alive.
        await next.machine.start();
        // Its shell may miss one that comes while it waits for a child.
        const isInterrupted = (): boolean => {
          if (next.shell.output.includes('# ')) return true;
          next.machine.serial.write('\x03');
          return false;
        };
        await vi.waitUntil(isInterrupted, { timeout: LINUX_TIMEOUT_MS, interval: 500 });
        expect(await next.shell.run('dmesg | grep -iE "bug:|panic|stall"')).toBe('');
        expect((await next.machine.status()).said).toBe('');
      });
    });
  }
}

// Only where more than one version is at hand: a snapshot of one goes on in the other.
it.runIf(QEMUS.length > 1)('a Linux goes from one version of QEMU to the other and back', async () => {
  const [a, b] = QEMUS;
  let here = await open(linuxProfile(a!.program));
  await here.machine.start();
  await here.shell.untilUp();
  here.shell.forget();
  here.machine.serial.write(`${COUNTER}\n`);
  await here.shell.until(/^at 1\r$/m);
  await restBetweenLines(here);
  let last = numbersIn(here.shell).at(-1)!;
  for (const { program } of [b!, a!, b!]) {
    const { id } = (await here.machine.machine.save()).snapshot;
    await here.machine.close();
    here = await open(linuxProfile(program), id);
    last = await countOn(here, last, 5);
  }
});

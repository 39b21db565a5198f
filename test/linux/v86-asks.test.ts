// Linux asks by itself: for snapshots from its shell by `vitrine`; and it says which of its pages are free, by its balloon.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServedRing } from '../../src/engine/doorbell.ts';
import type { Machine } from '../../src/engine/machine.ts';
import type { SaveReport } from '../../src/engine/save.ts';
import type { Vitrine } from '../../src/engine/vitrine.ts';
import type { V86Guest } from '../../src/guest/v86/index.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { until } from '../guest/v86/machines.ts';
import { openTestEngine } from '../support/engine.ts';
import { openLinux, Shell } from './shell.ts';

let engine: Vitrine;
let guest: V86Guest;
let shell: Shell;
let machine: Machine;

async function adopt(name: string, one: V86Guest): Promise<Machine> {
  return engine.adopt(name, await openScanTracker(one, { openKernels: () => loadKernels() }));
}

/** All that a guest sends from now on. */
function listen(one: V86Guest): () => string {
  let text = '';
  one.onSerial((bytes) => {
    text += Buffer.from(bytes).toString('latin1');
  });
  return () => text;
}

beforeAll(async () => {
  engine = await openTestEngine();
  guest = await openLinux();
  machine = await adopt('linux', guest);
  shell = new Shell(guest);
  await guest.start();
  await shell.untilUp();
});
afterAll(async () => {
  await machine.close();
  await engine.close();
});

describe('the vitrine command in Linux', () => {
  it('says when nobody serves, and how to call it', async () => {
    expect(await shell.run('vitrine save; echo $?')).toBe('nobody\n4');
    expect(await shell.run('vitrine rest 2>&1; echo $?')).toBe('usage: vitrine save | vitrine reset\n2');
  });

  it('saves the machine, and comes back from the saved instant in this machine and in another', async () => {
    const rings: ServedRing[] = [];
    const served = await machine.serveDoorbell({
      keep: 'snapshot',
      maxPerSecond: 1000,
      onServed: (ring) => rings.push(ring),
    });
    expect(await shell.run('vitrine save; echo $?')).toBe('saved\n0');
    expect(rings.map(({ request, answer }) => `${request} ${answer}`)).toEqual(['save first']);
    await shell.run('touch /tmp/after');

    const output = listen(guest);
    guest.sendSerial(Uint8Array.from(Buffer.from('vitrine reset\n')));
    await until(() => output().includes('restored\r\n0\r\n'), `restored, after ${output()}`);
    await served.stop();
    expect(await shell.run('ls /tmp/after 2>&1; vitrine save')).toBe(
      'ls: /tmp/after: No such file or directory\nnobody',
    );
    expect(rings[1]).toMatchObject({ request: 'reset', answer: 'restored', error: null });

    const other = await openLinux();
    const otherMachine = await adopt('other', other);
    try {
      const otherOutput = listen(other);
      await otherMachine.restore(rings[0]!.snapshot!);
      await other.start();
      await until(() => otherOutput().includes('restored\r\n0\r\n'), `restored, after ${otherOutput()}`);
    } finally {
      await otherMachine.close();
    }
  });

  it('is told when it is refused', async () => {
    const served = await machine.serveDoorbell({ keep: 'snapshot', allow: () => false });
    expect(await shell.run('vitrine save; echo $?')).toBe('refused\n3');
    await served.stop();
  });
});

describe('free pages of Linux', () => {
  it('are left out, and not missed by this machine nor by one made of the snapshot', async () => {
    await shell.run('dd if=/dev/urandom of=/tmp/kept bs=1M count=2 2>/dev/null');
    const sum = await shell.run('md5sum /tmp/kept');
    let report: SaveReport | undefined;
    // An answer may come too late for one save on a busy host.
    await until(
      async () => {
        await shell.run('dd if=/dev/urandom of=/tmp/gone bs=1M count=16 2>/dev/null; rm /tmp/gone');
        report = await machine.save();
        return report.pagesSkippedFree > 1000;
      },
      'a save with free pages left out',
      240_000,
    );

    const other = await openLinux();
    const otherMachine = await adopt('fork', other);
    try {
      await otherMachine.restore(report!.snapshot.id);
      await other.start();
      const otherShell = new Shell(other);
      const work =
        'md5sum /tmp/kept; seq 1 20000 > /tmp/n; sort -n /tmp/n | md5sum; rm /tmp/n; dmesg | grep -ciE "bug|oops|corrupt"';
      const [here, there] = await Promise.all([shell.run(work), otherShell.run(work)]);
      expect(here.startsWith(sum)).toBe(true);
      expect(there).toBe(here);
      // The driver held its blocks at the instant of the snapshot, or not: it gave them back.
      await until(
        async () => Number(await otherShell.run("awk '/MemFree/ { print $2 }' /proc/meminfo")) > 40_000,
        'the free blocks to be given back',
      );
    } finally {
      await otherMachine.close();
    }
  });

  it('are kept when that is wanted', async () => {
    await shell.run('dd if=/dev/urandom of=/tmp/gone bs=1M count=4 2>/dev/null; rm /tmp/gone');
    expect((await machine.save({ freePages: 'keep' })).pagesSkippedFree).toBe(0);
  });
});

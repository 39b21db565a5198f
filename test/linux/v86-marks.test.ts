// Marks of the v86 guest under a real kernel: in each window a full compare of RAM finds no changed page unmarked.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { linesOf, type V86Guest } from '../../src/guest/v86/index.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { restore, save, until } from '../guest/v86/machines.ts';
import { type MarksWindow, marksWindow } from '../guest/v86/marks-window.ts';
import { openLinux, Shell } from './shell.ts';

const WORK: Readonly<Record<string, string>> = {
  idle: 'sleep 1',
  'shell loop': 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done',
  'file writes': 'for i in $(seq 1 200); do echo $i > /tmp/f$i; done; cat /tmp/f* | md5sum; rm /tmp/f*',
  gzip: 'dd if=/dev/urandom bs=64k count=16 2>/dev/null | gzip | md5sum',
  forks: 'for i in $(seq 1 60); do /bin/true; done',
  dd: 'dd if=/dev/zero of=/tmp/z bs=64k count=160 2>/dev/null; cp /tmp/z /tmp/y; rm /tmp/z /tmp/y',
  sort: 'seq 1 8000 | sort -rn | md5sum',
};

describe('marks under Linux on v86', () => {
  let guest: V86Guest;
  let shell: Shell;
  const seen: string[] = [];
  const report = (name: string, { changed, marked, missed }: MarksWindow) =>
    seen.push(`${name}: ${changed.length} changed, ${marked.length} marked, ${missed.length} missed`);

  beforeAll(async () => {
    guest = await openLinux();
    shell = new Shell(guest);
  });
  afterAll(async () => {
    console.info(seen.join('\n'));
    await guest.close();
  });

  it('hold all of a boot: firmware, kernel in memory, unpacking, user space', async () => {
    expect(guest.traits.tracking).toBe('barrier');
    const boot = await marksWindow(guest, async () => {
      await guest.start();
      await shell.untilUp();
    });
    report('boot', boot);
    expect(boot.changed.length).toBeGreaterThan(2000);
    expect(boot.missed).toEqual([]);
  });

  it('hold all of what programs do', async () => {
    for (const [name, command] of Object.entries(WORK)) {
      for (let round = 0; round < 3; round++) {
        const window = await marksWindow(guest, () => shell.run(command));
        if (round === 0) report(name, window);
        expect(window.changed.length).toBeGreaterThan(0);
        expect([name, window.missed]).toEqual([name, []]);
      }
    }
  });

  it('hold all in short epochs, between which nothing is asked of the guest', async () => {
    let running = true;
    const work = shell.run(`${WORK.forks}; ${WORK.gzip}; ${WORK.sort}`).finally(() => {
      running = false;
    });
    let epochs = 0;
    let missed = 0;
    while (running) {
      const window = await marksWindow(guest, () => new Promise((ended) => setTimeout(ended, 20)));
      missed += window.missed.length;
      epochs++;
    }
    await work;
    seen.push(`short epochs: ${epochs}, ${missed} missed`);
    expect(epochs).toBeGreaterThan(3);
    expect(missed).toBe(0);
  });

  it('hold all after a restore, and let a tracker look at few pages', async () => {
    const saved = await save(guest);
    await shell.run(WORK.forks!);
    const back = await marksWindow(guest, () => restore(guest, saved));
    expect(back.missed).toEqual([]);
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    let scanned = 0;
    for (let round = 0; round < 5; round++) {
      await shell.run('ls -la /bin | sort | tail -1');
      const captured = await tracker.capture({ full: false });
      await tracker.commit();
      scanned = captured.pagesScanned;
    }
    expect(await tracker.describe()).toMatchObject({ tier: 'barrier' });
    // What a command writes, instead of 136 MiB; its console is text, so nobody looks at the frame buffer.
    expect(scanned).toBeLessThan(4000);
    const { missed, ...window } = await marksWindow(guest, () => shell.run(WORK.sort!));
    report('after it', { missed, ...window });
    expect(missed).toEqual([]);
  });

  it('hold all of a reboot, up to the firmware', async () => {
    let text = '';
    const shown = () => {
      const frame = guest.screen?.takeFrame();
      if (frame?.kind === 'text') text = linesOf(frame).join('\n');
      return text;
    };
    // By the keyboard controller: v86 panics in the way that Linux tries first.
    await shell.run('echo kbd > /sys/kernel/reboot/type; clear > /dev/tty1; echo waiting > /dev/tty1');
    await until(
      () => shown().includes('waiting') && !shown().includes('SeaBIOS'),
      'a screen without firmware',
    );
    const reboot = await marksWindow(guest, async () => {
      guest.sendSerial(Uint8Array.from(Buffer.from('reboot -f\n')));
      await until(() => shown().includes('SeaBIOS'), 'the firmware', 60_000);
    });
    report('reboot', reboot);
    expect(reboot.changed.length).toBeGreaterThan(10);
    expect(reboot.missed).toEqual([]);
  });
});

it('marks hold all of a boot without compiled code', async () => {
  const guest = await openLinux({ compile: false });
  try {
    const shell = new Shell(guest);
    const boot = await marksWindow(guest, async () => {
      await guest.start();
      await shell.untilUp();
    });
    expect(boot.missed).toEqual([]);
    const work = await marksWindow(guest, () => shell.run(WORK.forks!));
    expect(work.changed.length).toBeGreaterThan(10);
    expect(work.missed).toEqual([]);
  } finally {
    await guest.close();
  }
});

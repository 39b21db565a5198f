// A real kernel in the v86 guest, saved and put back by the port's own calls.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { linesOf, type V86Guest } from '../../src/guest/v86/index.ts';
import { difference, paused, restore, type Saved, save } from '../guest/v86/machines.ts';
import { openLinux, Shell } from './shell.ts';

describe.each([{ acpi: false }, { acpi: true }])('Linux on v86, $acpi for ACPI', ({ acpi }) => {
  let guest: V86Guest;
  let shell: Shell;
  let saved: Saved;
  let sum: string;
  let uptime: number;

  beforeAll(async () => {
    guest = await openLinux({ acpi });
    shell = new Shell(guest);
    await guest.start();
    await shell.untilUp();
    await shell.run('dd if=/dev/urandom of=/tmp/random bs=1M count=4 2>/dev/null');
    sum = await shell.run('md5sum /tmp/random');
    uptime = await uptimeOf(shell);
    saved = await save(guest);
  });
  afterAll(() => guest.close());

  it('boots to a shell, on the serial line and on the screen', async () => {
    expect(await shell.run('uname -sm')).toBe('Linux i686');
    const frame = guest.screen?.takeFrame();
    expect(frame?.kind === 'text' ? linesOf(frame).join('\n') : '').toContain('built-in shell');
  });

  it('saves no more of its devices than they are', async () => {
    const bytes = saved.devices.reduce((total, record) => total + record.bytes.length, 0);
    expect(saved.devices[0]!.bytes.length).toBeLessThan(16_384);
    expect(bytes).toBeLessThan(2 << 20);
  });

  it('goes on from one save as often as one likes, byte for byte', async () => {
    for (let round = 0; round < 4; round++) {
      await shell.run(`echo ${round} > /tmp/random; seq 1 ${1000 * (round + 1)} | sort -n | gzip | md5sum`);
      await paused(guest, async () => {
        await restore(guest, saved);
        expect(difference(saved, await save(guest))).toBe('none');
      });
      expect(await shell.run('md5sum /tmp/random')).toBe(sum);
      expect(await shell.run('seq 1 3000 | sort -n | md5sum')).toBe('ee9762749fc5338b6c9b0948d14219c7  -');
    }
  });

  it('has clocks that tick on from the save, all by the same', async () => {
    for (let round = 0; round < 3; round++) {
      await restore(guest, saved);
      const began = performance.now();
      const script = 'cut -d" " -f1 /proc/uptime; date +%s; sleep 1; date +%s; cut -d" " -f1 /proc/uptime';
      const [up, date, later, laterUp] = (await shell.run(script)).split('\n').map(Number);
      const took = (performance.now() - began) / 1000;
      expect(up).toBeGreaterThanOrEqual(uptime);
      expect(up! - uptime).toBeLessThan(took + 1);
      expect(laterUp! - up!).toBeGreaterThanOrEqual(1);
      expect(laterUp! - up!).toBeLessThan(took + 1);
      expect(Math.abs(later! - date! - (laterUp! - up!))).toBeLessThan(2);
    }
  });

  it('goes on in a new instance that never booted, while the old one runs', async () => {
    const fresh = await openLinux({ acpi });
    try {
      const other = new Shell(fresh);
      await paused(fresh, async () => {
        await restore(fresh, saved);
        expect(difference(saved, await save(fresh))).toBe('none');
      });
      await fresh.start();
      const [here, there] = await Promise.all([
        shell.run('echo here; md5sum /tmp/random'),
        other.run('echo there; md5sum /tmp/random'),
      ]);
      expect(here).toBe(`here\n${sum}`);
      expect(there).toBe(`there\n${sum}`);
      expect(await other.run('ls /tmp; ps | grep -c kworker | awk "{ print (\\$1 > 0) }"')).toBe('random\n1');
    } finally {
      await fresh.close();
    }
  });

  it('keeps a command that was typed and not read', async () => {
    await restore(guest, saved);
    await guest.stop();
    guest.sendSerial(Uint8Array.from(Buffer.from('echo kept > /tmp/kept\n')));
    const typed = await save(guest);
    await guest.start();
    await shell.run('rm -f /tmp/kept');
    await restore(guest, typed);
    expect(await shell.run('cat /tmp/kept')).toBe('kept');
  });
});

async function uptimeOf(shell: Shell): Promise<number> {
  return Number(await shell.run('cut -d" " -f1 /proc/uptime'));
}

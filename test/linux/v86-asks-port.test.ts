// Linux asks by itself across a port: its memory is shared, its tracker at the other end, as in the engine's worker of a page.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServedRing } from '../../src/engine/doorbell.ts';
import type { Machine } from '../../src/engine/machine.ts';
import type { SaveReport } from '../../src/engine/save.ts';
import type { Vitrine } from '../../src/engine/vitrine.ts';
import type { V86Guest } from '../../src/guest/v86/index.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { exposeGuest, offerOf } from '../../src/rpc/guest-port.ts';
import { connectGuest } from '../../src/rpc/port-guest.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { sharedProgram, until } from '../guest/v86/machines.ts';
import { openTestEngine } from '../support/engine.ts';
import { openLinux, Shell } from './shell.ts';

let engine: Vitrine;
let guest: V86Guest;
let shell: Shell;
let machine: Machine;
const { port1, port2 } = new MessageChannel();

beforeAll(async () => {
  engine = await openTestEngine();
  guest = await openLinux({ wasm: await sharedProgram() });
  exposeGuest(guest, port1);
  const far = connectGuest(port2, offerOf(guest)!, new Promise(() => {}));
  machine = engine.adopt('far', await openScanTracker(far, { openKernels: () => loadKernels() }));
  shell = new Shell(guest);
  await guest.start();
  await shell.untilUp();
});
afterAll(async () => {
  await machine.close();
  await engine.close();
  port1.close();
  port2.close();
});

describe('Linux at a port', () => {
  it('leaves free pages out, and misses none of them', async () => {
    await shell.run('dd if=/dev/urandom of=/tmp/kept bs=1M count=2 2>/dev/null');
    // The kernel complains of the BIOS at its start; of nothing more afterwards.
    const work =
      'md5sum /tmp/kept; seq 1 20000 > /tmp/n; sort -n /tmp/n | md5sum; rm /tmp/n; dmesg | grep -ciE "bug|oops|corrupt"';
    const before = await shell.run(work);
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
    await machine.restore(report!.snapshot.id);
    expect(await shell.run(work)).toBe(before);
  });

  it('saves itself, and comes back from the saved instant', async () => {
    const rings: ServedRing[] = [];
    const served = await machine.serveDoorbell({
      keep: 'snapshot',
      maxPerSecond: 1000,
      onServed: (ring) => rings.push(ring),
    });
    expect(await shell.run('vitrine save; echo $?')).toBe('saved\n0');
    await shell.run('touch /tmp/after');
    let output = '';
    guest.onSerial((bytes) => {
      output += Buffer.from(bytes).toString('latin1');
    });
    guest.sendSerial(Uint8Array.from(Buffer.from('vitrine reset\n')));
    await until(() => output.includes('restored\r\n0\r\n'), `restored, after ${output}`);
    await served.stop();
    expect(await shell.run('ls /tmp/after 2>&1; vitrine save')).toBe(
      'ls: /tmp/after: No such file or directory\nnobody',
    );
    expect(rings.map(({ request, answer }) => `${request} ${answer}`)).toEqual([
      'save first',
      'reset restored',
    ]);
  });
});

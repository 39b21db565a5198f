// The barrier under a whole life of Linux on v86: from the power switch through firmware and boot, a disk that is made, filled and
// read by DMA, forks, pipes, and a reboot. At every stage live captures, each held against a copy made in its pause, memory,
// video memory and disk; and one of them, from the midst of copying files, is gone back to and gone on from.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyBytes, type OwnedBytes } from '../../src/base/bytes.ts';
import { MIB } from '../../src/base/limits.ts';
import type { DeviceRecord } from '../../src/guest/guest.ts';
import { linesOf, type V86Guest } from '../../src/guest/v86/index.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { pageCountOf } from '../../src/memory/region.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import { until } from '../guest/v86/machines.ts';
import { expectSame } from '../support/same.ts';
import { openLinuxWithDisk, Shell } from './shell.ts';

const DISK_BYTES = 12 * MIB;
/** Captures take turns with these: the guest waits at each write, at some, at none. */
const RINGS = [0, MIB / 4, 160 * MIB];
/** Memory is compared whole each time; so many of a stage are enough of the time. */
const MOST_CAPTURES = 6;
/** Turns of the event loop between two, so that they are spread over the stage: a boot takes some thousands. */
const TURNS = 30;
const TURNS_OF_BOOT = 400;

const FILL = 'for i in 1 2 3; do dd if=/dev/urandom of=/disk/$i bs=64k count=16 2>/dev/null; sync; done';
const COPY = `${FILL}; cp /disk/1 /disk/4; cat /disk/1 /disk/2 > /tmp/both; sync`;

/** What is done at each stage, and what it says at its end. */
const STAGES: readonly (readonly [name: string, command: string, says: string])[] = [
  ['drivers', 'load-disk && ls /dev/sda', '/dev/sda'],
  [
    'a file system',
    'mke2fs /dev/sda > /dev/null && mkdir /disk && mount -t ext2 /dev/sda /disk && grep -q /disk /proc/mounts && echo made',
    'made',
  ],
  ['files', `${COPY}; cmp /disk/1 /disk/4 && echo same`, 'same'],
  [
    'files read anew, by DMA',
    'umount /disk; echo 3 > /proc/sys/vm/drop_caches; mount -t ext2 /dev/sda /disk; cat /disk/1 /disk/2 | cmp - /tmp/both && echo same',
    'same',
  ],
  ['forks', 'for i in $(seq 1 120); do /bin/true; done; echo done', 'done'],
  ['pipes', 'seq 1 9000 | sort -rn | gzip | gunzip | tail -1; echo done', 'done'],
];

interface Instant {
  readonly memory: readonly OwnedBytes[];
  readonly devices: readonly DeviceRecord[];
}

describe('the barrier under a life of Linux', () => {
  let guest: V86Guest;
  let shell: Shell;
  let tracker: ScanTracker;
  let truth: readonly OwnedBytes[] = [];
  let captures = 0;
  const seen: string[] = [];

  beforeAll(async () => {
    guest = await openLinuxWithDisk(DISK_BYTES);
    expect(guest.regions.map(({ name }) => name)).toContain('disk.hda');
    shell = new Shell(guest);
    tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    const saveDevices = guest.saveDevices.bind(guest);
    guest.saveDevices = () => {
      truth = guest.regions.map(({ id }) => copyBytes(guest.view(id)!));
      return saveDevices();
    };
  });
  afterAll(async () => {
    console.info(seen.join('\n'));
    await tracker.close();
  });

  /** The captured instant is that of the last pause. */
  async function expectCaptured(): Promise<void> {
    for (const region of guest.regions) {
      const pages = Uint32Array.from({ length: pageCountOf(region) }, (_, page) => page);
      const { bytes } = await tracker.readPages(region.id, pages);
      expectSame(bytes.subarray(0, region.sizeBytes), truth[region.id]!);
    }
  }

  /** One capture while the guest works, compared. */
  async function capture(): Promise<Instant & { readonly mode: string; readonly copiedAside: number }> {
    const bufferBytes = RINGS[captures % RINGS.length]!;
    const { live, devices } = await tracker.capture({ full: captures % 4 === 1, live: { bufferBytes } });
    await expectCaptured();
    await (captures++ % 3 === 2 ? tracker.putBack() : tracker.commit());
    return { memory: truth, devices, mode: live!.mode, copiedAside: live!.pagesCopiedAside };
  }

  /** Captures while `work` goes on; the last one that was taken before its end. */
  async function captureDuring(name: string, work: Promise<unknown>): Promise<Instant> {
    let isWorking = true;
    const working = work.finally(() => {
      isWorking = false;
    });
    // Reported below.
    working.catch(() => {});
    const modes = new Map<string, number>();
    let copiedAside = 0;
    let last: Instant | undefined;
    for (let count = 0; isWorking && count < MOST_CAPTURES; count++) {
      const taken = await capture();
      modes.set(taken.mode, (modes.get(taken.mode) ?? 0) + 1);
      copiedAside += taken.copiedAside;
      if (isWorking || last === undefined) last = taken;
      let turns = name === 'boot' ? TURNS_OF_BOOT : TURNS;
      await until(() => !isWorking || turns-- === 0, 'some turns', 60_000);
    }
    await working;
    const counts = [...modes].map(([mode, count]) => `${count} by ${mode}`).join(', ');
    seen.push(`${name}: ${counts}; ${copiedAside} pages copied aside`);
    expect(modes.has('stopped') && name !== 'boot').toBe(false);
    return last!;
  }

  it('holds from the power switch to the shell', async () => {
    await guest.start();
    await captureDuring('boot', shell.untilUp());
    expect((await tracker.describe()).tier).toBe('barrier');
  });

  it.each(STAGES)('holds through %s', async (name, command, says) => {
    const work = shell.run(command);
    await captureDuring(name, work);
    expect((await work).split('\n').at(-1)).toContain(says);
  });

  it('goes back into the midst of copying files, and on from there', async () => {
    const sums = 'md5sum /disk/1 /disk/2 /disk/4 | md5sum';
    const work = shell.run(`rm /disk/4; cp /disk/3 /disk/4; cp /disk/1 /disk/4; sync; ${sums}; echo copied`);
    const midst = await captureDuring('a copy', work);
    const [sum] = (await work).split('\n');
    await shell.run('dd if=/dev/urandom of=/disk/1 bs=64k count=16 2>/dev/null; rm /disk/2; sync');
    expect(await shell.run(sums)).not.toContain(sum);
    // What it says when it goes on from there, once more.
    const again = shell.hear(sum!);
    await tracker.beginRestore({ full: true });
    for (const [region, { pageBytes }] of guest.regions.entries()) {
      const memory = midst.memory[region]!;
      const pages = Uint32Array.from({ length: Math.ceil(memory.length / pageBytes) }, (_, page) => page);
      const bytes = new Uint8Array(pages.length * pageBytes);
      bytes.set(memory);
      await tracker.stagePages(region, pages, bytes);
    }
    await tracker.applyRestore(midst.devices);
    await captureDuring('after going back', again);
    expect(await shell.run(sums)).toContain(sum);
  });

  it('has forgotten no page in all that', async () => {
    await tracker.capture({ full: false });
    await expectCaptured();
    await tracker.commit();
    expect((await tracker.describe()).tier).toBe('barrier');
  });

  it('holds through a reboot, up to the firmware', async () => {
    let text = '';
    const shown = () => {
      const frame = guest.screen?.takeFrame();
      if (frame?.kind === 'text') text = linesOf(frame).join('\n');
      return text;
    };
    // By the keyboard controller: v86 panics in the way that Linux tries first.
    await shell.run(
      'umount /disk; echo kbd > /sys/kernel/reboot/type; clear > /dev/tty1; echo waiting > /dev/tty1',
    );
    await until(
      () => shown().includes('waiting') && !shown().includes('SeaBIOS'),
      'a screen without firmware',
    );
    guest.sendSerial(Uint8Array.from(Buffer.from('reboot -f\n')));
    // Further than to the firmware it does not come: the kernel that v86 put into memory is gone.
    const firmware = until(() => shown().includes('SeaBIOS'), 'the firmware', 60_000).then(() =>
      guest.pause(),
    );
    await captureDuring('reboot', firmware);
    await tracker.capture({ full: false });
    await expectCaptured();
  });
});

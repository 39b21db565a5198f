// Live captures of Linux on v86 while it works hard: each is the moment of its pause, bit for bit, and the machine goes on.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import type { V86Guest } from '../../src/guest/v86/index.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { pageCountOf } from '../../src/memory/region.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import { expectSame } from '../support/same.ts';
import { openLinux, Shell } from './shell.ts';

const WORK = {
  forks: 'for i in $(seq 1 80); do /bin/true; done; echo done',
  'file writes':
    'dd if=/dev/urandom of=/tmp/f bs=64k count=48 2>/dev/null; cp /tmp/f /tmp/g; cmp /tmp/f /tmp/g; rm /tmp/f /tmp/g; echo done',
  gzip: 'dd if=/dev/urandom bs=64k count=16 2>/dev/null | gzip | wc -c; echo done',
  sort: 'seq 1 8000 | sort -rn | md5sum; echo done',
};

describe('live captures of Linux', () => {
  let guest: V86Guest;
  let shell: Shell;
  let tracker: ScanTracker;
  let truth: Uint8Array[] = [];
  const seen: string[] = [];

  beforeAll(async () => {
    guest = await openLinux();
    shell = new Shell(guest);
    tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    const saveDevices = guest.saveDevices.bind(guest);
    guest.saveDevices = () => {
      truth = guest.regions.map(({ id }) => guest.view(id)!.slice());
      return saveDevices();
    };
    await guest.start();
    await shell.untilUp();
    await shell.run('true');
  });
  afterAll(async () => {
    console.info(seen.join('\n'));
    await tracker.close();
  });

  it.each([0, MIB / 4, 32 * MIB])('with a ring of %i bytes are right', async (bufferBytes) => {
    for (const [name, command] of Object.entries(WORK)) {
      let isWorking = true;
      const work = shell.run(command).finally(() => {
        isWorking = false;
      });
      let captures = 0;
      for (; isWorking && captures < 3; captures++) {
        const { live } = await tracker.capture({ full: captures === 1, live: { bufferBytes } });
        expect(live?.mode).toBe('barrier');
        for (const region of guest.regions) {
          const pages = Uint32Array.from({ length: pageCountOf(region) }, (_, page) => page);
          const { bytes } = await tracker.readPages(region.id, pages);
          expectSame(bytes.subarray(0, region.sizeBytes), truth[region.id]!);
        }
        await (captures % 2 === 0 ? tracker.commit() : tracker.putBack());
        const { pagesCopiedAside, spilled, peakRingBytes } = live!;
        seen.push(
          `${name}, ${bufferBytes}: ${pagesCopiedAside} aside, ${spilled} spilled, ring ${peakRingBytes}`,
        );
      }
      expect(captures).toBeGreaterThan(0);
      expect(await work).toContain('done');
    }
  });
});

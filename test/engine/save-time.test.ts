// What a save says of the time that it took: all of it, the rest of the guest too.

import { expect, it } from 'vitest';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine } from '../../src/engine/vitrine.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';

it('counts the rest of the guest', async () => {
  let ms = 0;
  const clock = { nowMs: () => ms, wallMs: () => 1_700_000_000_000 };
  const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
  const engine = await openEngine({ store: openMemoryStore(), kernels, codecs, clock });
  const guest = new FlatGuest({
    regions: [{ name: 'ram', bytes: new Uint8Array(4096), guestAddress: 0 }],
  });
  const saveDevices = guest.saveDevices.bind(guest);
  guest.saveDevices = () => {
    ms += 78;
    return saveDevices();
  };
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels(), clock });
  const { pauseMs, totalMs } = await engine.adopt('flat', tracker).save();
  expect(pauseMs).toBe(78);
  expect(totalMs).toBe(78);
  await engine.close();
});

// Live saves of programs that work on, some of them growing, meanwhile: the snapshot is the instant at which they were paused.

import { expect, it } from 'vitest';
import { nextTask } from '../../../src/base/pacing.ts';
import { openMicroPython } from '../../../src/guest/micropython/micropython.ts';
import type { WasmInstanceGuest } from '../../../src/guest/wasm/wasm-instance.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { whilePaused } from '../../../src/testing/guest-suites/subject.ts';
import { openScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { openTestEngine, tickingClock } from '../../support/engine.ts';
import { loadMicroPython, wasmUrl } from '../../support/micropython-loader.ts';
import { expectSame } from '../../support/same.ts';

const SAVES = 6;

function imageOf(guest: WasmInstanceGuest): Uint8Array {
  const image = new Uint8Array(guest.regions[0]!.sizeBytes);
  guest.readPages({ region: 0, offsetBytes: 0, lengthBytes: image.length }, image);
  return image;
}

it.each([0, 16 * 4096, 1 << 24])(
  'MicroPython is saved while it works, with %i bytes for old pages',
  async (bufferBytes) => {
    const engine = await openTestEngine();
    const guest = await openMicroPython({ loadMicroPython, wasmUrl, tracking: 'barrier' });
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels(), clock: tickingClock() });
    const machine = engine.adopt('python', tracker);
    const saveDevices = guest.saveDevices.bind(guest);
    let truth: Uint8Array = new Uint8Array(0);
    guest.saveDevices = () => {
      truth = imageOf(guest);
      return saveDevices();
    };
    // Marks that were put in from outside are proven first, by captures that find changes.
    for (let proof = 0; proof < 4; proof++) {
      await guest.paste(`w${proof} = [str(i) for i in range(500)]\n`);
      await machine.save();
    }
    await guest.paste('n, keep = 0, []\n');
    let isRunning = true;
    const working = (async () => {
      for (; isRunning; await nextTask()) {
        await guest.paste('n += 1\nkeep.append(bytearray(700))\nw = [str(i * n) for i in range(300)]\n');
      }
    })();
    const saved: { readonly id: string; readonly truth: Uint8Array }[] = [];
    let copiedAside = 0;
    for (let round = 0; round < SAVES; round++) {
      const { live, snapshot } = await machine.save({ live: { bufferBytes } });
      expect(live).toMatchObject({ mode: 'barrier' });
      copiedAside += live!.pagesCopiedAside;
      saved.push({ id: snapshot.id, truth });
      await nextTask();
    }
    isRunning = false;
    await working;
    expect(copiedAside).toBeGreaterThan(0);
    for (const { id, truth: expected } of saved.reverse()) {
      await machine.restore(id);
      expectSame(await whilePaused(guest, () => imageOf(guest)), expected);
    }
    // It goes on from there.
    let printed = '';
    guest.onOutput((bytes) => (printed += new TextDecoder().decode(bytes)));
    await guest.paste('print("lists:", len(keep) == n or len(keep) + 1 == n)\n');
    expect(printed).toContain('lists: True');
    await guest.close();
  },
);

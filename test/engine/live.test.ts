// Live saves through a machine: what the snapshot holds, what the report says, and how one is given up.

import { describe, expect, it } from 'vitest';
import { copyBytes } from '../../src/base/bytes.ts';
import { nextTask } from '../../src/base/pacing.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { DeviceRecord } from '../../src/guest/guest.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { openTestEngine, tickingClock } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';

const PAGES = 256;
const LIVE = { bufferBytes: 8 * 4096 };

/** Keeps what its memory was when its devices were saved. */
class Witness extends FlatGuest {
  truth = new Uint8Array(0);
  readonly memory: Uint8Array<ArrayBuffer>;

  constructor(memory: Uint8Array<ArrayBuffer>) {
    super({ tracking: 'barrier', regions: [{ name: 'ram', bytes: memory, guestAddress: 0 }] });
    this.memory = memory;
  }

  override saveDevices(): DeviceRecord[] {
    this.truth = copyBytes(this.memory);
    return super.saveDevices();
  }
}

async function open() {
  const engine = await openTestEngine();
  const guest = new Witness(new Uint8Array(PAGES * 4096));
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels(), clock: tickingClock() });
  const machine = engine.adopt('flat', tracker);
  let isRunning = true;
  const writing = (async () => {
    for (; isRunning; await nextTask()) guest.run(200);
  })();
  const stop = async () => {
    isRunning = false;
    await writing;
  };
  return { guest, machine, stop };
}

describe('a live save', () => {
  it('is the instant of its pause, and can be restored', async () => {
    const { guest, machine, stop } = await open();
    const saved: { id: string; truth: Uint8Array }[] = [];
    for (let round = 0; round < 3; round++) {
      const { live, pauseMs, snapshot } = await machine.save({ live: LIVE });
      saved.push({ id: snapshot.id, truth: guest.truth });
      expect(live).toMatchObject({ mode: 'barrier', pauseMs, ringBytes: LIVE.bufferBytes });
    }
    expect((await machine.save()).live).toBe(undefined);
    expect((await machine.save({ live: {}, full: true })).live).toMatchObject({ mode: 'barrier' });
    await stop();
    for (const { id, truth } of saved.reverse()) {
      await machine.restore(id);
      expectSame(guest.memory, truth);
    }
  });

  it('that is given up in its capture leaves the guest running and the next save whole', async () => {
    const { guest, machine, stop } = await open();
    const abort = new AbortController();
    const saving = machine.save({ live: LIVE, signal: abort.signal });
    await nextTask();
    await nextTask();
    abort.abort();
    await expect(saving).rejects.toMatchObject({ code: 'aborted' });
    await stop();
    const { snapshot } = await machine.save({ live: LIVE });
    const { truth } = guest;
    guest.run(5000);
    await machine.restore(snapshot.id);
    expectSame(guest.memory, truth);
  });

  it('refuses a buffer that is no number of bytes', async () => {
    const { machine, stop } = await open();
    await stop();
    for (const bufferBytes of [-1, 0.5, Number.NaN, 2 ** 60]) {
      await expect(machine.save({ live: { bufferBytes } })).rejects.toMatchObject({
        code: 'argument-invalid',
      });
    }
  });
});

// A doorbell across a message port: the guest and its tracker at one end, the engine at the other.

import { afterEach, describe, expect, it, vi } from 'vitest';
import { VitrineError } from '../../src/base/error.ts';
import { DOORBELL_WORDS } from '../../src/guest/doorbell.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { connectTracker, exposeTracker } from '../../src/rpc/tracker-port.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { openTestEngine } from '../support/engine.ts';

const { save, reset, first, restored, refused, nobody } = DOORBELL_WORDS;

const ports: MessagePort[] = [];
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

async function open() {
  const guest = new FlatGuest({ regions: [{ name: 'ram', bytes: new Uint8Array(8 * 4096) }] });
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  exposeTracker(tracker, port1);
  let lose: (error: VitrineError) => void = () => {};
  const lost = new Promise<VitrineError>((resolve) => {
    lose = resolve;
  });
  const engine = await openTestEngine();
  const machine = engine.adopt('far', connectTracker(port2, lost));
  /** Rings, and waits for the guest to run on. */
  const ring = async (word: number): Promise<number> => {
    guest.ring(word);
    await vi.waitFor(() => guest.run(0), { interval: 1, timeout: 20_000 });
    return guest.doorbell.word;
  };
  return { guest, tracker, engine, machine, ring, lose };
}

describe('a doorbell across a port', () => {
  it('is served by checkpoints beside the guest', async () => {
    const { guest, machine, ring } = await open();
    const served = await machine.serveDoorbell();
    guest.run(30);
    expect(await ring(save)).toBe(first);
    guest.run(20);
    expect(await ring(reset)).toBe(restored);
    expect(guest.steps).toBe(30);
    expect(await served.report()).toMatchObject({ rings: 2, saves: 1, resets: 1 });
    await served.stop();
    expect(await ring(save)).toBe(nobody);
  });

  it('is served by snapshots of the engine', async () => {
    const { guest, engine, machine, ring } = await open();
    await machine.serveDoorbell({ keep: 'snapshot', maxPerSecond: 1000, save: { label: 'asked' } });
    guest.run(30);
    expect(await ring(save)).toBe(first);
    expect((await engine.log()).map(({ label }) => label)).toEqual(['asked']);
    guest.run(20);
    expect(await ring(reset)).toBe(restored);
    expect(guest.steps).toBe(30);
  });

  it('does not hold a guest whose engine is gone', async () => {
    const { guest, tracker, machine, ring, lose } = await open();
    let asked = false;
    await machine.serveDoorbell({
      keep: 'snapshot',
      maxPerSecond: 1000,
      allow: () => {
        asked = true;
        return new Promise<boolean>(() => {});
      },
    });
    guest.ring(save);
    await vi.waitFor(() => expect(asked).toBe(true), { interval: 1, timeout: 20_000 });
    expect(() => guest.run(1)).toThrow();
    lose(new VitrineError('worker-lost'));
    // What a guest's worker does when it hears of it.
    await tracker.reset();
    expect(guest.doorbell.word).toBe(refused);
    guest.run(1);
    expect(await ring(save)).toBe(nobody);
  });
});

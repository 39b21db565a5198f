// Guests that ask by themselves: with a checkpoint beside the guest, with snapshots in the store, refused, and cut off.

import { describe, expect, it, vi } from 'vitest';
import type { ServedRing } from '../../src/engine/doorbell.ts';
import { DOORBELL_WORDS } from '../../src/guest/doorbell.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { Guest } from '../../src/guest/guest.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { faulty } from '../support/faulty-store.ts';

const { save, reset, first, restored, refused, nobody } = DOORBELL_WORDS;
const code = (name: string) => expect.objectContaining({ code: name });

/** Rings and waits for the guest to run again; returns what it reads. */
async function ring(guest: FlatGuest, word: number): Promise<number> {
  guest.ring(word);
  await vi.waitFor(() => guest.run(0), { interval: 1, timeout: 20_000 });
  return guest.doorbell.word;
}

describe.each(['none', 'marks'] as const)('a guest that marks %s and rings for a checkpoint', (tracking) => {
  it('comes back to it as often as it asks, and reads which return it is', async () => {
    const engine = await openTestEngine();
    const { guest, machine, memory } = await adoptFlat(engine, 'a', 8, { tracking });
    await machine.serveDoorbell();
    guest.run(100);
    expect(await ring(guest, save)).toBe(first);
    const point = memory.slice();
    const onward = guest.run(50);
    for (let round = 0; round < 5; round++) {
      expect(await ring(guest, reset)).toBe(restored);
      expect(memory).toEqual(point);
      expect(guest.steps).toBe(100);
      expect(guest.run(50)).toBe(onward);
    }
    await engine.close();
  });

  it('may move the point', async () => {
    const engine = await openTestEngine();
    const { guest, machine } = await adoptFlat(engine, 'a', 8, { tracking });
    const served = await machine.serveDoorbell();
    for (let round = 1; round <= 3; round++) {
      guest.run(10);
      expect(await ring(guest, save)).toBe(first);
      guest.run(7);
      expect(await ring(guest, reset)).toBe(restored);
      expect(guest.steps).toBe(10 * round);
    }
    expect(await served.report()).toEqual({ rings: 6, saves: 3, resets: 3, refused: 0, lastFailure: null });
    await engine.close();
  });
});

describe('a guest that rings', () => {
  it('is refused a reset when it never saved, and runs on', async () => {
    const engine = await openTestEngine();
    const { guest, machine } = await adoptFlat(engine, 'a', 2);
    const served = await machine.serveDoorbell();
    guest.run(5);
    expect(await ring(guest, reset)).toBe(refused);
    expect(guest.steps).toBe(5);
    expect((await served.report()).lastFailure).toBe('wrong-state');
    await engine.close();
  });

  it('finds nobody before and after the serving', async () => {
    const engine = await openTestEngine();
    const { guest, machine } = await adoptFlat(engine, 'a', 2);
    expect(await ring(guest, save)).toBe(nobody);
    const served = await machine.serveDoorbell();
    await served.stop();
    expect(await ring(guest, save)).toBe(nobody);
    await engine.close();
  });

  it('is refused at more than the rate, with nothing saved for it', async () => {
    const engine = await openTestEngine();
    const { guest, machine } = await adoptFlat(engine, 'a', 2);
    const rings: ServedRing[] = [];
    await machine.serveDoorbell({
      keep: 'snapshot',
      maxPerSecond: 1e-6,
      onServed: (one) => rings.push(one),
    });
    expect(await ring(guest, save)).toBe(first);
    for (let i = 0; i < 500; i++) expect(await ring(guest, save)).toBe(refused);
    expect(rings).toHaveLength(1);
    expect(await engine.log()).toHaveLength(1);
    await engine.close();
  });
});

describe('a guest that rings for snapshots', () => {
  it('has one in the store when it reads first, and in another machine reads restored', async () => {
    const engine = await openTestEngine();
    const { guest, machine, memory } = await adoptFlat(engine, 'a', 8);
    const rings: ServedRing[] = [];
    await machine.serveDoorbell({
      keep: 'snapshot',
      maxPerSecond: 1000,
      save: { label: 'asked' },
      onServed: (one) => rings.push(one),
    });
    guest.run(40);
    expect(await ring(guest, save)).toBe(first);
    const point = memory.slice();
    const [info] = await engine.log();
    expect(info?.label).toBe('asked');
    guest.run(30);
    expect(await ring(guest, reset)).toBe(restored);
    expect(memory).toEqual(point);
    expect(rings).toEqual([
      { request: 'save', answer: 'first', snapshot: info!.id, error: null },
      { request: 'reset', answer: 'restored', snapshot: info!.id, error: null },
    ]);

    const other = await adoptFlat(engine, 'b', 8);
    expect(other.guest.doorbell.word).toBe(nobody);
    await other.machine.restore(info!.id);
    expect(other.guest.doorbell.word).toBe(restored);
    expect(other.guest.run(30)).toBe(guest.run(30));
    await engine.close();
  });

  it('is refused what its host does not allow', async () => {
    const engine = await openTestEngine();
    const { guest, machine } = await adoptFlat(engine, 'a', 2);
    await machine.serveDoorbell({
      keep: 'snapshot',
      maxPerSecond: 1000,
      allow: (request) => request === 'reset',
    });
    expect(await ring(guest, save)).toBe(refused);
    expect(await ring(guest, reset)).toBe(refused);
    expect(await engine.log()).toEqual([]);
    await engine.close();
  });

  it('is refused while the machine works for somebody else, and is saved afterwards', async () => {
    const engine = await openTestEngine();
    const { guest, machine } = await adoptFlat(engine, 'a', 64);
    const rings: ServedRing[] = [];
    await machine.serveDoorbell({ keep: 'snapshot', maxPerSecond: 1e6, onServed: (one) => rings.push(one) });
    let release = () => {};
    const allowed = new Promise<void>((resolve) => (release = resolve));
    const saving = machine.save({ onProgress: () => release() });
    await allowed;
    await ring(guest, save);
    expect(rings[0]?.error).toEqual(code('busy'));
    await saving;
    expect(await ring(guest, save)).toBe(first);
    await engine.close();
  });

  it('is refused when the store fails, and is saved when it is mended', async () => {
    const store = faulty(openMemoryStore(), 'E', { only: ['put'] });
    const engine = await openTestEngine(store);
    const { guest, machine } = await adoptFlat(engine, 'a', 8);
    const rings: ServedRing[] = [];
    await machine.serveDoorbell({ keep: 'snapshot', maxPerSecond: 1e6, onServed: (one) => rings.push(one) });
    guest.run(50);
    expect(await ring(guest, save)).toBe(refused);
    expect(rings[0]?.error).toEqual(code('store-io'));
    expect(await ring(guest, save)).toBe(first);
    expect((await engine.log()).map(({ id }) => id)).toEqual([rings[1]!.snapshot]);
    await engine.close();
  });

  it('runs on, refused, when its engine is gone in the middle of an answer', async () => {
    const guest = new FlatGuest({ regions: [{ name: 'ram', bytes: new Uint8Array(4096) }] });
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    await tracker.doorbell.serve({ serve: 'ask', maxPerSecond: 1000 });
    guest.ring(save);
    expect(await tracker.doorbell.nextRing()).toBe('save');
    expect(() => guest.run(1)).toThrow(code('wrong-state'));
    await tracker.reset();
    expect(await ring(guest, save)).toBe(nobody);
    expect(await tracker.doorbell.nextRing()).toBeNull();
    await tracker.close();
  });

  it('leaves nobody waiting when the guest is closed while it rings', async () => {
    const guest = new FlatGuest({ regions: [{ name: 'ram', bytes: new Uint8Array(4096) }] });
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    await tracker.doorbell.serve({ serve: 'ask', maxPerSecond: 1000 });
    const next = tracker.doorbell.nextRing();
    await expect(tracker.doorbell.nextRing()).rejects.toEqual(code('busy'));
    guest.ring(save);
    expect(await next).toBe('save');
    const later = tracker.doorbell.nextRing();
    await tracker.close();
    expect(await later).toBeNull();
    await tracker.doorbell.answerRing('first');
  });
});

describe('a guest without a doorbell', () => {
  it('is refused a serving by name', async () => {
    const flat = new FlatGuest({ regions: [{ name: 'ram', bytes: new Uint8Array(4096) }] });
    const guest = new Proxy<Guest>(flat, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (name === 'doorbell') return undefined;
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const engine = await openTestEngine();
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    const machine = engine.adopt('a', tracker);
    await expect(machine.serveDoorbell()).rejects.toEqual(code('unsupported'));
    await engine.close();
  });
});

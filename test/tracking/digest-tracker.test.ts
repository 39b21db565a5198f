// The tracker without a copy of memory: what it hands out is of one instant whatever the guest does meanwhile, and the guest
// rests only as long as its pages are in it alone. That snapshots come out right is in `test/engine/model.test.ts`.

import { describe, expect, it } from 'vitest';
import { PageSet } from '../../src/memory/page-set.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { FiledGuests } from '../support/filed-guests.ts';
import { expectSame } from '../support/same.ts';

const PAGES = 60;
const PAGE = 4096;

const filed = new FiledGuests(PAGES);

function pagesOf(words: Uint32Array<ArrayBuffer>, count: number): number[] {
  return [...new PageSet(count, words)];
}

describe('digest tracker', () => {
  it('lets the guest go on at once where all that changed has a copy, and hands out that instant', async () => {
    const { guest, tracker, memory } = await filed.open({ keptPages: 4, fewPages: PAGES });
    memory.fill(1, 3 * PAGE, 5 * PAGE);
    const { changed } = await tracker.capture({ full: false });
    expect(guest.rests).toBe(0);
    const pages = pagesOf(changed[0]!, guest.regions[0]!.sizeBytes / PAGE);
    expect(pages).toEqual([3, 4]);
    memory.fill(2);
    const { bytes } = await tracker.readPages(0, Uint32Array.from(pages));
    expectSame(bytes, new Uint8Array(2 * PAGE).fill(1));
  });

  it('stores ahead what a guest wrote, also one that wrote hardly anything before', async () => {
    const { guest, machine, tracker, memory } = await filed.open({ keptPages: 4, fewPages: 10 });
    await machine.save();
    memory.fill(1, 3 * PAGE, 5 * PAGE);
    expect(await tracker.captureAhead({ full: false })).toBeNull();
    expect((await machine.save()).pagesChanged).toBe(2);
    memory.fill(2, 0, 40 * PAGE);
    guest.run(0);
    const ahead = await tracker.captureAhead({ full: false });
    expect(ahead).toMatchObject({ pauseMs: 0 });
    expect(guest.rests).toBe(0);
    await tracker.reset();
    const { snapshot, pagesChanged } = await machine.save();
    expect(pagesChanged).toBe(40);
    expectSame(await filed.memoryOf(snapshot.id, memory.length), memory);
  });

  it('holds the guest until pages without a copy have been read, and no longer', async () => {
    const { guest, tracker, memory } = await filed.open({ keptPages: 2, fewPages: PAGES });
    for (let page = 0; page < 6; page++) memory.fill(page + 1, page * PAGE, (page + 1) * PAGE);
    await tracker.capture({ full: false });
    expect(guest.rests).toBe(1);
    for (let page = 0; page < 6; page++) {
      const { bytes } = await tracker.readPages(0, Uint32Array.of(page));
      expectSame(bytes, new Uint8Array(PAGE).fill(page + 1));
    }
    expect(guest.rests).toBe(0);
    await tracker.commit();
    // What was committed is not told again.
    const { changed } = await tracker.capture({ full: false });
    expect(changed.every((words) => words.every((word) => word === 0))).toBe(true);
    await tracker.putBack();
  });

  it('lets the guest go on when it is given up', async () => {
    const { guest, tracker, memory } = await filed.open({ keptPages: 0, fewPages: PAGES });
    memory.fill(7);
    await tracker.capture({ full: false });
    expect(guest.rests).toBe(1);
    await tracker.putBack();
    expect(guest.rests).toBe(0);
    const { changed } = await tracker.capture({ full: false });
    expect(changed.flatMap((words) => [...words]).some((word) => word !== 0)).toBe(true);
    await tracker.reset();
    expect(guest.rests).toBe(0);
  });

  it('stores ahead what a guest holds that goes on writing, and saves one instant of it', async () => {
    const { guest, machine, memory } = await filed.open({ keptPages: 3, fewPages: 0 });
    guest.stepsWhenSeen = 3;
    // Devices are saved at rest: memory is then what the snapshot has to hold.
    const saveDevices = guest.saveDevices.bind(guest);
    let witness = memory.slice();
    guest.saveDevices = () => {
      witness = memory.slice();
      return saveDevices();
    };
    for (let round = 0; round < 4; round++) {
      guest.run(200);
      const before = memory.slice();
      const { snapshot, pagesChanged } = await machine.save();
      // It did go on before its instant.
      expect(Buffer.compare(witness, before)).not.toBe(0);
      const [bytes] = await filed.engine.peek(snapshot.id, [{ address: 0, lengthBytes: memory.length }]);
      expectSame(bytes!, witness);
      expect(pagesChanged).toBeLessThanOrEqual(PAGES);
    }
  });

  it('puts pages and devices back when the guest refuses', async () => {
    const { guest, machine, tracker, memory } = await filed.open();
    guest.run(300);
    const { snapshot } = await machine.save();
    guest.run(300);
    memory.fill(0, 10 * PAGE, 20 * PAGE);
    const before = memory.slice();
    guest.loadDevices = () => {
      guest.loadDevices = Object.getPrototypeOf(Object.getPrototypeOf(guest)).loadDevices;
      throw new Error('refused');
    };
    await expect(machine.restore(snapshot.id)).rejects.toThrow('refused');
    expectSame(memory, before);
    expect(guest.rests).toBe(0);
    await machine.restore(snapshot.id);
    await tracker.reset();
    const [first] = await filed.engine.peek(snapshot.id, [{ address: 0, lengthBytes: memory.length }]);
    expectSame(memory, first!);
  });

  it('refuses checkpoints of its own, and tells the engine to store them', async () => {
    const { tracker } = await filed.open();
    expect(await tracker.describe()).toMatchObject({ checkpoints: 'stored' });
    expect(await codeOf(() => tracker.checkpoint())).toBe('unsupported');
    expect(await codeOf(() => tracker.resetToCheckpoint())).toBe('unsupported');
  });

  it('tells a peek of any length one instant', async () => {
    const { machine, guest, memory } = await filed.open({ keptPages: 1 });
    guest.run(200);
    const before = memory.slice();
    const parts: Uint8Array[] = [];
    await machine.peekInParts([{ address: 0, lengthBytes: memory.length }], async (bytes) => {
      parts.push(bytes);
      expect(guest.rests).toBe(1);
    });
    expectSame(Buffer.concat(parts), before);
    expect(guest.rests).toBe(0);
  });
});

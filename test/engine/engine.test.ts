// The engine's verbs over a flat guest and a store in memory: what each does, reports and refuses.

import { describe, expect, it } from 'vitest';
import { EFFORTS } from '../../src/format/frame-codecs.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { pages } from '../support/pages.ts';
import { expectSame } from '../support/same.ts';

describe('save and restore', () => {
  it('brings all of memory and the devices back, and the guest goes on as it had', async () => {
    const engine = await openTestEngine();
    const { guest, machine, memory } = await adoptFlat(engine, 'flat', 64);
    guest.run(5000);
    const { snapshot } = await machine.save({ label: 'first' });
    const saved = memory.slice();
    const wentOn = guest.run(5000);
    expect(Buffer.compare(memory, saved)).not.toBe(0);
    for (let round = 0; round < 3; round++) {
      const report = await machine.restore(snapshot.id);
      expect(report.pagesWritten).toBeGreaterThan(0);
      expectSame(memory, saved);
      expect(guest.run(5000)).toBe(wentOn);
    }
  });

  it('saves only what changed, told from the parent', async () => {
    const engine = await openTestEngine();
    const { guest, machine, memory } = await adoptFlat(engine, 'flat', 2048);
    for (let page = 0; page < 2048; page += 2) memory.set(pages('R', 4096), page * 4096);
    for (let page = 0; page < 2048; page += 2) memory[page * 4096] = page >> 3;
    const first = await machine.save();
    expect(first.pagesChanged).toBe(1024);
    guest.write(0, 700 * 4096 + 5, Uint8Array.of(1, 2, 3));
    guest.write(0, 1500 * 4096, Uint8Array.of(9));
    const second = await machine.save();
    expect(second.pagesChanged).toBe(2);
    expect(second.snapshot.parent).toBe(first.snapshot.id);
    expect(second.bytesWritten).toBeLessThan(4096);
    const third = await machine.save();
    expect(third.pagesChanged).toBe(0);
    expect(third.objectsNew).toBe(0);
  });

  it('writes a page that its store knows no second time, also in a full save of another machine', async () => {
    const engine = await openTestEngine();
    const one = await adoptFlat(engine, 'one', 256);
    const two = await adoptFlat(engine, 'two', 256);
    one.guest.run(4000);
    two.guest.run(4000);
    const first = await one.machine.save();
    const second = await two.machine.save();
    expect(first.objectsNew).toBeGreaterThan(100);
    expect(second.pagesChanged).toBe(first.pagesChanged);
    expect(second.objectsNew).toBe(0);
  });

  it('restores what is only zeros, and zeros over what is not', async () => {
    const engine = await openTestEngine();
    const { machine, memory } = await adoptFlat(engine, 'flat', 16);
    const empty = await machine.save();
    memory.set(pages('ABCDEFGHabcdefgh', 4096));
    const full = await machine.save();
    await machine.restore(empty.snapshot.id);
    expectSame(memory, new Uint8Array(memory.length));
    await machine.restore(full.snapshot.id);
    expectSame(memory, pages('ABCDEFGHabcdefgh', 4096));
  });

  it('goes back and forth over many snapshots, each exact, through chains of deltas longer than the bound', async () => {
    const engine = await openTestEngine();
    const { guest, machine, memory } = await adoptFlat(engine, 'flat', 32);
    const saved: { id: string; memory: Uint8Array }[] = [];
    for (let round = 0; round < 30; round++) {
      guest.run(40);
      const { snapshot } = await machine.save({
        effort: EFFORTS[round % EFFORTS.length]!,
      });
      saved.push({ id: snapshot.id, memory: memory.slice() });
    }
    for (const index of [0, 29, 15, 16, 3, 28, 1]) {
      await machine.restore(saved[index]!.id);
      expectSame(memory, saved[index]!.memory);
      expect(machine.base).toBe(saved[index]!.id);
    }
  });

  it('saves an odd region, several regions and several page sizes', async () => {
    const engine = await openTestEngine();
    const ram = new Uint8Array(100_001).fill(7);
    const video = new Uint8Array(300).fill(9);
    const none = new Uint8Array(0);
    const guest = new FlatGuest({
      regions: [
        { name: 'ram', bytes: ram, guestAddress: 0x1000, pageBytes: 65_536 },
        { name: 'video', bytes: video, kind: 'device', pageBytes: 256 },
        { name: 'none', bytes: none, kind: 'other' },
      ],
    });
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    const machine = engine.adopt('odd', tracker);
    const { snapshot } = await machine.save();
    ram.fill(0);
    video.fill(0);
    await machine.restore(snapshot.id);
    expect(ram.every((byte) => byte === 7)).toBe(true);
    expect(video.every((byte) => byte === 9)).toBe(true);
  });

  it('takes a machine up again in a new engine over the same store', async () => {
    const contents = new Map();
    const before = await openTestEngine(openMemoryStore({ contents }));
    const one = await adoptFlat(before, 'flat', 64);
    one.guest.run(3000);
    const { snapshot } = await one.machine.save();
    const wentOn = one.guest.run(1000);
    await before.close();
    const after = await openTestEngine(openMemoryStore({ contents }));
    expect(await after.head('flat')).toBe(snapshot.id);
    const two = await adoptFlat(after, 'flat', 64);
    await two.machine.restore(snapshot.id);
    expect(two.guest.run(1000)).toBe(wentOn);
    const next = await two.machine.save();
    expect(next.snapshot.parent).toBe(snapshot.id);
  });

  it('goes on from a base that was deleted and collected', async () => {
    const engine = await openTestEngine();
    const { guest, machine, memory } = await adoptFlat(engine, 'flat', 64);
    guest.run(2000);
    const first = await machine.save();
    await engine.delete([first.snapshot.id]);
    await engine.collect();
    guest.run(100);
    const saved = memory.slice();
    const second = await machine.save();
    guest.run(1000);
    await machine.restore(second.snapshot.id);
    expectSame(memory, saved);
    expect(await engine.verify(second.snapshot.id)).toMatchObject({ damaged: [] });
  });

  it('refuses a machine of another shape and names the field', async () => {
    const engine = await openTestEngine();
    const small = await adoptFlat(engine, 'small', 8);
    const large = await adoptFlat(engine, 'large', 9);
    small.guest.run(10);
    large.guest.run(10);
    const before = large.memory.slice();
    const { snapshot } = await small.machine.save();
    await expect(large.machine.restore(snapshot.id)).rejects.toMatchObject({
      code: 'guest-mismatch',
      data: { field: 'config.ram.sizeBytes', snapshot: 8 * 4096, guest: 9 * 4096 },
    });
    expectSame(large.memory, before);
    large.guest.run(1);
  });

  it('gives a save up where told, and the next one has everything', async () => {
    const engine = await openTestEngine();
    const { guest, machine, memory } = await adoptFlat(engine, 'flat', 1024);
    guest.run(20_000);
    const abort = new AbortController();
    const phases: string[] = [];
    const saving = machine.save({
      signal: abort.signal,
      onProgress: ({ phase }) => {
        phases.push(phase);
        abort.abort();
      },
    });
    await expect(saving).rejects.toMatchObject({ code: 'aborted' });
    expect(phases.length).toBeGreaterThan(0);
    expect(await engine.log()).toEqual([]);
    guest.run(10);
    const saved = memory.slice();
    const { snapshot } = await machine.save();
    memory.fill(3);
    await machine.restore(snapshot.id);
    expectSame(memory, saved);
  });

  it('does one thing at a time to a machine, and peeks meanwhile', async () => {
    const engine = await openTestEngine();
    const { guest, machine } = await adoptFlat(engine, 'flat', 512);
    guest.run(5000);
    const saving = machine.save();
    await expect(machine.save()).rejects.toMatchObject({ code: 'busy', data: { underWay: 'save' } });
    const peeked = await machine.peek([{ address: 0, lengthBytes: 16 }]);
    expect(peeked.bytes[0]).toHaveLength(16);
    await saving;
  });

  it('refuses labels and names that the format does not hold', async () => {
    const engine = await openTestEngine();
    const { machine } = await adoptFlat(engine, 'flat', 1);
    await expect(machine.save({ label: 'x'.repeat(1025) })).rejects.toMatchObject({
      code: 'argument-invalid',
    });
    await expect(adoptFlat(engine, 'No such name', 1)).rejects.toMatchObject({ code: 'argument-invalid' });
  });
});

describe('peek', () => {
  it('reads ranges of the live guest and of a snapshot, by address and by region', async () => {
    const engine = await openTestEngine();
    const low = pages('AB', 4096);
    const high = pages('C', 4096);
    const guest = new FlatGuest({
      regions: [
        { name: 'low', bytes: low, guestAddress: 0 },
        { name: 'high', bytes: high, guestAddress: 8192 },
      ],
    });
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    const machine = engine.adopt('flat', tracker);
    const { snapshot } = await machine.save();
    const ranges = [
      { address: 4090, lengthBytes: 5000 },
      { region: 'high', offsetBytes: 4095, lengthBytes: 1 },
      { address: 5, lengthBytes: 0 },
    ];
    const all = new Uint8Array([...low, ...high]);
    const expected = [all.slice(4090, 9090), high.slice(4095), new Uint8Array(0)];
    expect((await machine.peek(ranges)).bytes).toEqual(expected);
    low.fill(0);
    expect(await engine.peek(snapshot.id, ranges)).toEqual(expected);
    expect((await machine.peek(ranges)).bytes[0]!.slice(0, 4102)).toEqual(new Uint8Array(4102));
  });

  it('refuses what lies outside', async () => {
    const engine = await openTestEngine();
    const { machine } = await adoptFlat(engine, 'flat', 1);
    const { snapshot } = await machine.save();
    const outside = { address: 4000, lengthBytes: 97 };
    await expect(machine.peek([outside])).rejects.toMatchObject({ code: 'span-out-of-range' });
    await expect(engine.peek(snapshot.id, [outside])).rejects.toMatchObject({ code: 'span-out-of-range' });
    const noRegion = { region: 'rom', offsetBytes: 0, lengthBytes: 1 };
    await expect(machine.peek([noRegion])).rejects.toMatchObject({ code: 'not-found' });
    const negative = { region: 'ram', offsetBytes: -1, lengthBytes: 1 };
    await expect(engine.peek(snapshot.id, [negative])).rejects.toMatchObject({ code: 'span-out-of-range' });
  });
});

describe('diff', () => {
  it('tells the pages and devices in which two instants differ, stored or live', async () => {
    const engine = await openTestEngine();
    const { guest, machine, memory } = await adoptFlat(engine, 'flat', 2000);
    const a = await machine.save();
    guest.write(0, 3 * 4096, Uint8Array.of(1));
    guest.write(0, 4 * 4096, Uint8Array.of(1));
    guest.write(0, 1999 * 4096, Uint8Array.of(1));
    const b = await machine.save();
    const runs = [
      { first: 3, count: 2 },
      { first: 1999, count: 1 },
    ];
    const region = { name: 'ram', pageBytes: 4096, pageCount: 2000, pagesChanged: 3, runs };
    expect(await engine.diff(a.snapshot.id, b.snapshot.id)).toEqual({ regions: [region], devices: [] });
    expect(await engine.diff(b.snapshot.id, b.snapshot.id)).toMatchObject({ regions: [{ pagesChanged: 0 }] });
    expect((await machine.diff(a.snapshot.id)).regions).toEqual([region]);
    memory[4096 * 4] = 0;
    memory[4096 * 9] = 5;
    expect((await machine.diff(a.snapshot.id)).regions[0]!.runs.map((run) => run.first)).toEqual([
      3, 9, 1999,
    ]);
    expect((await machine.diff()).regions[0]!.runs.map((run) => run.first)).toEqual([4, 9]);
    guest.run(1);
    const c = await machine.save();
    expect((await engine.diff(b.snapshot.id, c.snapshot.id)).devices).toEqual(['registers']);
  });
});

describe('fork', () => {
  it('gives a second machine that goes on by itself', async () => {
    const engine = await openTestEngine();
    const { guest, machine } = await adoptFlat(engine, 'flat', 64);
    guest.run(3000);
    const { snapshot } = await machine.save();
    const fresh = new FlatGuest({
      regions: [{ name: 'ram', bytes: new Uint8Array(64 * 4096), guestAddress: 0 }],
    });
    const tracker = await openScanTracker(fresh, { openKernels: () => loadKernels() });
    const fork = await engine.fork(snapshot.id, 'flat-fork', tracker);
    expect(fresh.run(100)).toBe(guest.run(100));
    fresh.run(1);
    const ofFork = await fork.save();
    const ofMachine = await machine.save();
    expect(ofFork.snapshot.parent).toBe(snapshot.id);
    expect(ofMachine.snapshot.parent).toBe(snapshot.id);
    expect(ofFork.snapshot.id).not.toBe(ofMachine.snapshot.id);
  });
});

describe('log, show, delete', () => {
  it('lists snapshots oldest first, by machine, and finds one by a prefix', async () => {
    const engine = await openTestEngine();
    const one = await adoptFlat(engine, 'one', 4);
    const two = await adoptFlat(engine, 'two', 4);
    const a = await one.machine.save({ label: 'a' });
    const b = await two.machine.save({ label: 'b' });
    const c = await one.machine.save({ label: 'c' });
    expect((await engine.log()).map(({ label }) => label)).toEqual(['a', 'b', 'c']);
    expect((await engine.log({ machine: 'one' })).map(({ id }) => id)).toEqual([
      a.snapshot.id,
      c.snapshot.id,
    ]);
    expect((await engine.show(b.snapshot.id.slice(0, 12))).label).toBe('b');
    await expect(engine.show('')).rejects.toMatchObject({ code: 'not-found' });
    await expect(engine.show('zz')).rejects.toMatchObject({ code: 'not-found' });
  });

  it('deletes some of a chain, and all others stay exact through a collection', async () => {
    const contents = new Map();
    const store = openMemoryStore({ contents });
    const engine = await openTestEngine(store);
    const { guest, machine, memory } = await adoptFlat(engine, 'flat', 300);
    const saved: { id: string; memory: Uint8Array }[] = [];
    for (let round = 0; round < 12; round++) {
      guest.run(300);
      const { snapshot } = await machine.save();
      saved.push({ id: snapshot.id, memory: memory.slice() });
    }
    const gone = [0, 1, 2, 5, 6, 7, 10].map((index) => saved[index]!);
    const usedBytes = store.usedBytes;
    await engine.delete(gone.map(({ id }) => id));
    const report = await engine.collect();
    expect(report.manifestsRemoved).toBe(gone.length);
    expect(report.objectsRemoved).toBeGreaterThan(0);
    expect(store.usedBytes).toBeLessThan(usedBytes);
    const fresh = await openTestEngine(openMemoryStore({ contents }));
    const other = await adoptFlat(fresh, 'other', 300);
    for (const { id, memory: expected } of saved) {
      if (gone.some((one) => one.id === id)) {
        await expect(fresh.show(id)).rejects.toMatchObject({ code: 'not-found' });
        continue;
      }
      expect((await fresh.verify(id)).damaged).toEqual([]);
      await other.machine.restore(id);
      expectSame(other.memory, expected);
    }
    await fresh.delete((await fresh.log()).map(({ id }) => id));
    await fresh.collect();
    expect([...contents.keys()].filter((key) => !key.startsWith('refs/'))).toEqual([]);
  });

  it('deletes nothing when one of the names is wrong', async () => {
    const engine = await openTestEngine();
    const { machine } = await adoptFlat(engine, 'flat', 1);
    const { snapshot } = await machine.save();
    await expect(engine.delete([snapshot.id, 'ffff'])).rejects.toMatchObject({ code: 'not-found' });
    expect(await engine.log()).toHaveLength(1);
  });
});

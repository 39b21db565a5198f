// Where the index of a pack is read from: small packs have it at their end alone, large ones under a key of its own too.
// And what a save takes from the one before: deltas are told from what the base holds, or from nothing.

import { expect, it } from 'vitest';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { noise } from '../fixtures/format-v1/samples.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';

const PAGE = 4096;

it('a small pack has no record of its index, a large one has; without any they are found all the same', async () => {
  const contents = new Map<string, Uint8Array<ArrayBuffer>>();
  const engine = await openTestEngine(openMemoryStore({ contents }));
  const { guest, machine, memory } = await adoptFlat(engine, 'flat', 200);
  memory.set(noise(150 * PAGE, 1));
  const large = await machine.save();
  const afterLarge = memory.slice();
  expect([...contents.keys()].filter((key) => key.startsWith('indexes/')).length).toBe(1);
  guest.write(0, 7 * PAGE, Uint8Array.of(1, 2, 3));
  const small = await machine.save();
  const names = (prefix: string) =>
    [...contents.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
  expect(names('packs/').length).toBe(2);
  expect(names('indexes/').length).toBe(1);
  expect(small.bytesWritten).toBe(
    [...contents]
      .filter(([key]) => !key.startsWith('refs/'))
      .reduce((sum, [, { length }]) => sum + length, 0) - large.bytesWritten,
  );
  // As a power cut between a large pack and its record leaves it.
  contents.delete(`indexes/${names('indexes/')[0]}`);
  // And a record whose pack is not there.
  contents.set(`indexes/${'ab'.repeat(32)}`, Uint8Array.of(1, 2, 3));
  const again = await openTestEngine(openMemoryStore({ contents }));
  const other = await adoptFlat(again, 'other', 200);
  await other.machine.restore(large.snapshot.id);
  expectSame(other.memory, afterLarge);
  await other.machine.restore(small.snapshot.id);
  expectSame(other.memory, memory);
  expect((await again.verify(small.snapshot.id)).damaged).toEqual([]);
});

it('an engine that is open forgets a pack that another one removed, with or without a record', async () => {
  const contents = new Map<string, Uint8Array<ArrayBuffer>>();
  const [one, two] = [
    await openTestEngine(openMemoryStore({ contents })),
    await openTestEngine(openMemoryStore({ contents })),
  ];
  const first = await adoptFlat(one, 'first', 32);
  first.memory.set(noise(20 * PAGE, 2));
  const { snapshot } = await first.machine.save();
  const second = await adoptFlat(two, 'second', 32);
  await second.machine.restore(snapshot.id);
  await one.delete([snapshot.id]);
  // As a save leaves it whose pack did not come.
  contents.set(`indexes/${'ab'.repeat(32)}`, Uint8Array.of(1, 2, 3));
  await one.collect();
  expect([...contents.keys()].filter((key) => /^(packs|indexes)\//.test(key))).toEqual([]);
  // All of it is written again: nothing may rely on the pack that is gone.
  const saved = await second.machine.save();
  const third = await adoptFlat(await openTestEngine(openMemoryStore({ contents })), 'third', 32);
  await third.machine.restore(saved.snapshot.id);
  expectSame(third.memory, first.memory);
});

it('deltas are told from the base alone, whatever came between two saves', async () => {
  const engine = await openTestEngine();
  const { machine, memory, guest } = await adoptFlat(engine, 'flat', 64);
  const change = (value: number) => {
    for (let page = 0; page < 40; page++) guest.write(0, page * PAGE + 100, Uint8Array.of(value, page));
  };
  memory.set(noise(40 * PAGE, 3));
  guest.write(0, 0, Uint8Array.of(1));
  const images: { id: string; bytes: Uint8Array }[] = [];
  const save = async (full = false) => {
    const { snapshot } = await machine.save({ full });
    images.push({ id: snapshot.id, bytes: memory.slice() });
    return snapshot.id;
  };
  for (let page = 0; page < 64; page++) guest.write(0, page * PAGE, Uint8Array.of(page));
  await save();
  change(1);
  const second = await save();
  change(2);
  // A diff captures and puts back; an aborted save too.
  await machine.diff();
  const aborted = new AbortController();
  aborted.abort();
  await expect(machine.save({ signal: aborted.signal })).rejects.toThrow('aborted');
  change(3);
  await save();
  change(4);
  await machine.restore(second);
  change(5);
  await save();
  change(6);
  await save(true);
  change(7);
  await save();
  for (const { id, bytes } of images) {
    expect((await engine.verify(id)).damaged).toEqual([]);
    await machine.restore(id);
    expectSame(memory, bytes);
  }
});

it('a page that changes a little in each save costs a little in each, past the longest chain too', async () => {
  const engine = await openTestEngine();
  const { machine, memory, guest } = await adoptFlat(engine, 'flat', 600);
  memory.set(noise(40 * PAGE, 4));
  guest.write(0, 0, memory.slice(0, 40 * PAGE));
  await machine.save();
  const images: { id: string; bytes: Uint8Array }[] = [];
  for (let round = 1; round <= 20; round++) {
    for (let page = 0; page < 40; page++) {
      guest.write(0, page * PAGE + 64 * (round % 3), Uint8Array.of(round, page, round));
    }
    const { snapshot, bytesWritten } = await machine.save();
    // 40 pages whole would be 160 KiB, and their node 16.
    expect(bytesWritten, `save ${round}`).toBeLessThan(12 * 1024);
    images.push({ id: snapshot.id, bytes: memory.slice() });
  }
  for (const { id, bytes } of images) {
    expect((await engine.verify(id)).damaged).toEqual([]);
    await machine.restore(id);
    expectSame(memory, bytes);
  }
});

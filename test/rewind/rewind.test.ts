// What a history promises beside exactness: how it thins, what it never gives up, what it refuses, and that the guest goes
// on whatever fails.

import { describe, expect, it } from 'vitest';
import { VitrineError } from '../../src/base/error.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openRewind } from '../../src/rewind/open-rewind.ts';
import type { Rewind } from '../../src/rewind/rewind.ts';
import { Random } from '../../src/testing/random.ts';
import { openTestEngine } from '../support/engine.ts';
import { seedOfRun } from '../support/seed.ts';
import { copyOf, expectSameCopy, handClock, openFlatRewind } from './rewind-subject.ts';

const KIB = 1024;

/** A page of noise, which no codec makes smaller. */
const noise = new Random(seedOfRun());

describe('a history that is full', () => {
  it('gets sparser with age before it gets shorter', async () => {
    const clock = handClock();
    const { guest, rewind } = await openFlatRewind({ budgetBytes: 96 * KIB, clock });
    // The same few pages over and over: merging frees room.
    for (let epoch = 0; epoch < 600; epoch++) {
      clock.ms += 100;
      guest.write(0, (epoch % 3) * 4096, noise.bytes(256));
      expect(await rewind.epoch()).toBe('taken');
    }
    const { merged, dropped, oldest, newest } = rewind.stats();
    expect(merged).toBeGreaterThan(100);
    expect(dropped).toBe(0);
    expect(oldest.atMs).toBe(0);
    expect(newest.atMs).toBe(60_000);
    const times = rewind.points().map(({ atMs }) => atMs);
    const gaps = times.slice(1).map((atMs, index) => atMs - times[index]!);
    expect(gaps.at(-1)).toBe(100);
    // Each gap that a merge left was at most a quarter of its age, so that the oldest are the widest.
    expect(Math.max(...gaps)).toBe(Math.max(...gaps.slice(0, Math.ceil(gaps.length / 4))));
    expect(Math.max(...gaps)).toBeGreaterThan(500);
  });

  it('drops the oldest where thinning frees nothing, and says from where on it reaches', async () => {
    const { guest, rewind } = await openFlatRewind({ budgetBytes: 64 * KIB });
    for (let epoch = 0; epoch < 60; epoch++) {
      guest.write(0, epoch * 4096, noise.bytes(4000));
      await rewind.epoch();
    }
    const { merged, dropped, oldest, points } = rewind.stats();
    expect(dropped).toBeGreaterThan(40);
    expect(merged).toBe(0);
    expect(points).toBeGreaterThan(8);
    expect(oldest.atMs).toBeGreaterThan(0);
    expect(rewind.points()[0]!.id).toBe(oldest.id);
  });

  it('keeps below its number of points', async () => {
    const { guest, rewind } = await openFlatRewind({ maxPoints: 40 });
    for (let epoch = 0; epoch < 200; epoch++) {
      guest.write(0, 0, noise.bytes(8));
      await rewind.epoch();
    }
    const { points, dropped } = rewind.stats();
    expect(points).toBeLessThanOrEqual(40);
    expect(dropped).toBe(0);
  });

  it('begins anew after a change that is larger than it', async () => {
    const { guest, rewind } = await openFlatRewind({ budgetBytes: 64 * KIB });
    guest.run(100);
    await rewind.epoch();
    guest.write(0, 0, noise.bytes(100 * KIB));
    await rewind.epoch();
    expect(rewind.stats()).toMatchObject({ restarts: 1, points: 1, usedBytes: 256 });
    const there = await copyOf(guest);
    const [point] = rewind.points();
    guest.write(0, 0, noise.bytes(10));
    await rewind.seek(point!.id);
    expectSameCopy(await copyOf(guest), there);
  });

  it('gives up branches first, their ends last', async () => {
    const { guest, rewind, head } = await openFlatRewind({ budgetBytes: 120 * KIB });
    const trunk = [];
    for (let epoch = 0; epoch < 5; epoch++) {
      guest.write(0, epoch * 4096, noise.bytes(4000));
      await rewind.epoch();
      trunk.push(head().id);
    }
    const fork = head().id;
    for (let epoch = 5; epoch < 20; epoch++) {
      guest.write(0, epoch * 4096, noise.bytes(4000));
      await rewind.epoch();
    }
    const end = head().id;
    await rewind.seek(fork);
    await rewind.resume();
    expect(rewind.stats().branches).toBe(1);
    expect(rewind.points().at(-1)!.id).toBe(fork);
    expect(rewind.points({ branches: true }).some(({ id, onTimeline }) => id === end && !onTimeline)).toBe(
      true,
    );
    const later = [];
    for (let epoch = 20; epoch < 40; epoch++) {
      guest.write(0, epoch * 4096, noise.bytes(4000));
      await rewind.epoch();
      later.push(head().id);
      const here = new Set(rewind.points().map(({ id }) => id));
      for (const id of [...trunk, ...later]) expect(here.has(id)).toBe(true);
    }
    expect(rewind.points({ branches: true }).some(({ id }) => id === end)).toBe(false);
    expect(rewind.stats().dropped).toBeGreaterThan(8);
  });
});

describe('branches', () => {
  it('are gone back to, and the future of the timeline is theirs then', async () => {
    const { guest, rewind, head } = await openFlatRewind();
    const first = head().id;
    guest.run(100);
    await rewind.epoch();
    const end = head().id;
    const there = await copyOf(guest);
    await rewind.seek(first);
    await rewind.resume();
    guest.run(7);
    await rewind.epoch();
    const other = head().id;
    expect(rewind.points().map(({ id }) => id)).toEqual([first, other]);
    await rewind.seek(end);
    expectSameCopy(await copyOf(guest), there);
    expect(rewind.points().map(({ id }) => id)).toEqual([first, end]);
    // While scrubbing the way ahead stays on show.
    await rewind.seek(first);
    expect(rewind.points().map(({ id, isHead }) => [id, isHead])).toEqual([
      [first, true],
      [end, false],
    ]);
  });
});

describe('bookmarks', () => {
  it('outlive everything around them', async () => {
    const { guest, rewind, head } = await openFlatRewind({ budgetBytes: 96 * KIB });
    guest.run(50);
    await rewind.epoch();
    const marked = head().id;
    const there = await copyOf(guest);
    await rewind.bookmark(marked, 'here');
    for (let epoch = 0; epoch < 300; epoch++) {
      guest.write(0, (epoch % 4) * 4096, noise.bytes(3000));
      await rewind.epoch();
    }
    const { oldest, state, dropped } = rewind.stats();
    expect(state).toBe('recording');
    expect(dropped).toBeGreaterThan(0);
    expect(oldest).toMatchObject({ id: marked, label: 'here' });
    await rewind.seek(marked);
    expectSameCopy(await copyOf(guest), there);
  });

  it('are refused when they would leave no room', async () => {
    const { guest, rewind, head } = await openFlatRewind({ budgetBytes: 100 * KIB });
    const first = head().id;
    guest.write(0, 0, noise.bytes(70 * KIB));
    await rewind.epoch();
    await expect(rewind.bookmark(first, 'too far')).rejects.toMatchObject({ code: 'rewind-full' });
    expect(rewind.stats().bookmarks).toBe(0);
    await rewind.bookmark(head().id, 'near');
    await expect(rewind.bookmark(head().id, '')).rejects.toMatchObject({ code: 'argument-invalid' });
    await expect(rewind.bookmark(99_999, 'x')).rejects.toMatchObject({ code: 'not-found' });
  });

  it('hold the guest when the present does not fit beside them, until one is forgotten', async () => {
    const { guest, rewind, head } = await openFlatRewind({ budgetBytes: 100 * KIB });
    const marked = head().id;
    const there = await copyOf(guest);
    await rewind.bookmark(marked, 'dear');
    guest.write(0, 0, noise.bytes(90 * KIB));
    await rewind.epoch();
    expect(rewind.state).toBe('recording');
    guest.write(0, 100 * KIB, noise.bytes(40 * KIB));
    const present = await copyOf(guest);
    await rewind.epoch();
    expect(rewind.state).toBe('full');
    expect(() => guest.run(1)).toThrow();
    expect(rewind.points().some(({ id, label }) => id === marked && label === 'dear')).toBe(true);
    await expect(rewind.resume()).rejects.toMatchObject({ code: 'rewind-full' });
    expect(await rewind.epoch()).toBe('skipped');
    expect(rewind.stats().usedBytes).toBeLessThanOrEqual(100 * KIB);
    await rewind.forget(marked);
    expect(rewind.state).toBe('recording');
    expectSameCopy(await copyOf(guest), present);
    guest.run(1);
    expect(there.memory).toHaveLength(2);
  });

  it('can be gone to from there', async () => {
    const { guest, rewind, head } = await openFlatRewind({ budgetBytes: 100 * KIB });
    const marked = head().id;
    const there = await copyOf(guest);
    await rewind.bookmark(marked, 'dear');
    guest.write(0, 0, noise.bytes(130 * KIB));
    await rewind.epoch();
    expect(rewind.state).toBe('full');
    await rewind.seek(marked);
    expectSameCopy(await copyOf(guest), there);
    await rewind.resume();
    guest.run(1);
    await rewind.epoch();
    expect(rewind.stats()).toMatchObject({ state: 'recording', bookmarks: 1 });
  });
});

describe('beside an engine', () => {
  it('a save is a point, and saves while scrubbing hold what is on show', async () => {
    const engine = await openTestEngine();
    const { guest, machine, memory, rewind, head } = await besideEngine(engine);
    guest.run(300);
    const { snapshot } = await machine.save();
    const there = await copyOf(guest);
    // Its point is made after the save has what it needs.
    await rewind.resume();
    guest.run(300);
    await rewind.epoch();
    const saved = rewind.points().at(-2)!.id;
    await rewind.seek(saved);
    expectSameCopy(await copyOf(guest), there);
    const again = await machine.save();
    const diff = await engine.diff(snapshot.id, again.snapshot.id);
    expect(diff.regions.map(({ pagesChanged }) => pagesChanged)).toEqual([0, 0]);
    // The next save after it tells its changes from the right base.
    await rewind.seek(rewind.points().at(-1)!.id);
    await rewind.resume();
    guest.run(50);
    const { snapshot: last } = await machine.save();
    const [ram] = await engine.peek(last.id, [{ region: 'ram', offsetBytes: 0, lengthBytes: memory.length }]);
    expect(Buffer.compare(ram!, memory)).toBe(0);
    await machine.restore(snapshot.id);
    expectSameCopy(await copyOf(guest), there);
    await rewind.epoch();
    expectSameCopy(await copyOf(guest), there);
    expect(head().isEnd).toBe(true);
  });

  it('saves do not fail for an epoch, and epochs are skipped during saves', async () => {
    const engine = await openTestEngine();
    const { guest, machine, rewind } = await besideEngine(engine);
    for (let round = 0; round < 20; round++) {
      guest.run(40);
      await Promise.all([
        rewind.epoch(),
        machine.save(),
        rewind.epoch(),
        machine.peek([{ region: 'ram', offsetBytes: 0, lengthBytes: 16 }]),
      ]);
    }
    expect(rewind.stats().epochs.skippedBusy).toBeGreaterThan(0);
  });

  async function besideEngine(engine: Awaited<ReturnType<typeof openTestEngine>>) {
    const { guest, memory, tracker } = await openFlatRewind();
    const rewind = await reopen(tracker);
    const head = () => rewind.points().find(({ isHead }) => isHead)!;
    return { guest, memory, rewind, head, machine: engine.adopt('flat', tracker) };
  }

  async function reopen(tracker: Parameters<typeof openRewind>[0]): Promise<Rewind> {
    await tracker.follow(null);
    return openRewind(tracker, { codecs: await loadCodecs() });
  }
});

describe('a failure', () => {
  it('of a codec leaves the guest where it is, and the history whole', async () => {
    const codecs = await loadCodecs();
    let isBroken = false;
    const fragile: typeof codecs = {
      prepare: (ids) => codecs.prepare(ids),
      prepareEffort: (effort) => codecs.prepareEffort(effort),
      encodeSmallest: (bytes, effort) => codecs.encodeSmallest(bytes, effort),
      byId(id) {
        if (isBroken) throw new VitrineError('codec-damaged', { codec: id });
        return codecs.byId(id);
      },
    };
    const { guest, rewind, head } = await openFlatRewind({ codecs: fragile });
    const first = head().id;
    const there = await copyOf(guest);
    guest.run(500);
    await rewind.epoch();
    guest.run(500);
    const present = await copyOf(guest);
    isBroken = true;
    await expect(rewind.seek(first)).rejects.toMatchObject({ code: 'codec-damaged' });
    expectSameCopy(await copyOf(guest), present);
    isBroken = false;
    expect(rewind.state).toBe('recording');
    guest.run(5);
    await rewind.seek(first);
    expectSameCopy(await copyOf(guest), there);
  });

  it('to encode begins history anew, since nothing before it could be reached', async () => {
    const codecs = await loadCodecs();
    let isBroken = false;
    const fragile: typeof codecs = {
      prepare: (ids) => codecs.prepare(ids),
      prepareEffort: (effort) => codecs.prepareEffort(effort),
      byId: (id) => codecs.byId(id),
      encodeSmallest(bytes, effort) {
        if (isBroken) throw new VitrineError('memory-exhausted', { lengthBytes: bytes.length });
        return codecs.encodeSmallest(bytes, effort);
      },
    };
    const { guest, rewind, head } = await openFlatRewind({ codecs: fragile });
    guest.run(50);
    await rewind.epoch();
    isBroken = true;
    guest.run(50);
    await expect(rewind.epoch()).rejects.toMatchObject({ code: 'memory-exhausted' });
    isBroken = false;
    expect(rewind.stats()).toMatchObject({ points: 1, restarts: 1 });
    const there = await copyOf(guest);
    const { id } = head();
    guest.run(50);
    await rewind.epoch();
    await rewind.seek(id);
    expectSameCopy(await copyOf(guest), there);
  });

  it('of the guest to take a state leaves it where it is', async () => {
    const { guest, rewind, head } = await openFlatRewind();
    const first = head().id;
    const there = await copyOf(guest);
    guest.run(500);
    const present = await copyOf(guest);
    const load = guest.loadDevices.bind(guest);
    guest.loadDevices = (records) => {
      guest.loadDevices = load;
      throw new VitrineError('guest-state-invalid', { records: records.length });
    };
    await expect(rewind.seek(first)).rejects.toMatchObject({ code: 'guest-state-invalid' });
    expectSameCopy(await copyOf(guest), present);
    guest.run(1);
    await rewind.seek(first);
    expectSameCopy(await copyOf(guest), there);
  });

  it('is typed, whatever the time', async () => {
    const { guest, rewind, tracker } = await openFlatRewind();
    await expect(rewind.seek(12345)).rejects.toMatchObject({ code: 'not-found' });
    await rewind.resume();
    await rewind.stop();
    await rewind.stop();
    await expect(rewind.seek(1)).rejects.toMatchObject({ code: 'wrong-state' });
    expect(() => rewind.points()).toThrow(VitrineError);
    await expect(openRewind(tracker, { codecs: await loadCodecs(), budgetBytes: 1 })).rejects.toMatchObject({
      code: 'argument-invalid',
    });
    guest.run(1);
    const again = await openRewind(tracker, { codecs: await loadCodecs() });
    await guest.close();
    await expect(again.epoch()).rejects.toMatchObject({ code: 'guest-closed' });
  });
});

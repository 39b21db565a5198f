// A host keeps the recent past of its machines: points by the clock, within a budget, thinned as they age; gone back to, gone on from, and
// kept over the host's end. Every point that is left restores to the byte.

import { beforeEach, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { grantOf, PERMISSIONS, type Permission } from '../../src/bridge/grant.ts';
import type { SnapshotLayer } from '../../src/bridge/recorded-layers.ts';
import { readRecordingBook } from '../../src/bridge/recording-book.ts';
import { Recordings } from '../../src/bridge/recordings.ts';
import type { SnapshotId } from '../../src/engine/snapshot.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { Random } from '../../src/testing/random.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';
import { type FlatHost, openFlatHost } from './bridge-host.ts';
import { connectTo } from './connect.ts';

const EVERY = { everyMs: 10_000, budgetBytes: 64 * MIB };

/** Timers and a clock that a test drives. */
class Later {
  nowMs = 1e12;
  /** What each look at the clock adds, as work would. */
  costMs = 0;
  #task: { readonly atMs: number; readonly task: () => void } | null = null;
  readonly clock = { nowMs: () => (this.nowMs += this.costMs), wallMs: () => this.nowMs };
  readonly wait = (task: () => void, ms: number) => {
    const waiting = { atMs: this.nowMs + ms, task };
    this.#task = waiting;
    return () => {
      if (this.#task === waiting) this.#task = null;
    };
  };

  /** Milliseconds until the next one, null where none is. */
  get nextInMs(): number | null {
    return this.#task === null ? null : this.#task.atMs - this.nowMs;
  }

  /** Begins the next one, which a host that stops may come between. */
  begin(): () => void {
    const { task } = this.#task!;
    this.#task = null;
    task();
    return task;
  }

  /** Goes to the next one, and waits for what it does and the one after it. */
  async next(): Promise<void> {
    await expect.poll(() => this.#task).not.toBeNull();
    const { atMs, task } = this.#task!;
    this.#task = null;
    this.nowMs = Math.max(this.nowMs, atMs);
    task();
    await expect.poll(() => this.#task).not.toBeNull();
  }
}

let later: Later;
let host: FlatHost;
let recordings: Recordings;

function recordingsOf(of: FlatHost): Recordings {
  return new Recordings({
    ...{ engine: of.engine, store: of.store, machine: (name) => of.machine(name) },
    ...{ clock: later.clock, wait: later.wait },
  });
}

beforeEach(async () => {
  later = new Later();
  const flat = await openFlatHost({ alpha: 64, beta: 4 });
  recordings = recordingsOf(flat);
  host = { ...flat, recordings };
});

describe('a recording', () => {
  it('takes a point at once and then at its pace, not while the machine rests, and goes back to each', async () => {
    const { client } = await connectTo(host);
    const alpha = client.machine('alpha');
    const { guest, memory } = host.flat.get('alpha')!;
    guest.run(100);
    await alpha.rewindStart(EVERY);
    const instants: Uint8Array[] = [];
    for (let count = 0; count < 4; count++) {
      instants.push(memory.slice());
      await later.next();
      expect(later.nextInMs).toBe(10_000);
      guest.run(200);
    }
    const { points, isOn, bytes } = await alpha.rewindList();
    expect({ isOn, count: points.length }).toEqual({ isOn: true, count: 4 });
    expect(points.map(({ isHere }) => isHere)).toEqual([false, false, false, true]);
    expect(points.map(({ parent }) => parent)).toEqual([
      null,
      ...points.slice(0, 3).map((one) => one.snapshot),
    ]);
    expect(bytes).toBe(points.slice(1).reduce((sum, one) => sum + one.bytes, 0));
    expect((await client.log({ machine: 'alpha' })).map(({ label }) => label)).toEqual(
      Array(4).fill('rewind'),
    );

    // What it did since the last point is one, too.
    const present = memory.slice();
    await alpha.rewindSeek(points[1]!.snapshot);
    expect((await alpha.status()).state).toBe('paused');
    expectSame(memory, instants[1]!);
    await later.next();
    const held = await alpha.rewindList();
    expect(held).toMatchObject({ skippedCount: 1, failure: null, isHeld: true });
    expect(held.points).toHaveLength(5);
    await alpha.rewindSeek(points[3]!.snapshot);
    expectSame(memory, instants[3]!);
    await alpha.rewindSeek(points[0]!.snapshot);
    expectSame(memory, instants[0]!);
    await alpha.rewindSeek(held.points[4]!.snapshot);
    expectSame(memory, present);
    expect(held.points[4]!.parent).toBe(points[3]!.snapshot);
    await alpha.rewindSeek(points[0]!.snapshot);
    await alpha.rewindResume();
    guest.run(50);
    await later.next();
    const { points: branched } = await alpha.rewindList();
    expect(branched).toHaveLength(6);
    expect(branched[5]!.parent).toBe(points[0]!.snapshot);
    // So is what it did until it was held otherwise.
    guest.run(50);
    await alpha.pause();
    expect(await alpha.rewindList()).toMatchObject({ isHeld: false });
    const paused = memory.slice();
    await alpha.rewindSeek(points[2]!.snapshot);
    const { points: seven } = await alpha.rewindList();
    expect(seven).toHaveLength(7);
    await alpha.rewindSeek(seven[6]!.snapshot);
    expectSame(memory, paused);
    await alpha.resume();
    await alpha.rewindStop();
    expect(later.nextInMs).toBeNull();
    expect(await alpha.rewindList()).toMatchObject({ isOn: false, points: { length: 7 } });
    // Who takes no points keeps no present.
    guest.run(50);
    await alpha.rewindSeek(points[2]!.snapshot);
    expect((await alpha.rewindList()).points).toHaveLength(7);
  });

  it('takes at most a tenth of the time', async () => {
    const recording = await recordings.start('alpha', { ...EVERY, everyMs: 100 });
    later.costMs = 500;
    // The first one looks at all memory.
    await later.next();
    expect(later.nextInMs).toBeLessThan(1_000);
    expect(recording.paceMs).toBe(100);
    await later.next();
    expect(recording.paceMs).toBeGreaterThanOrEqual(5_000);
    // One look at the clock before the work and one after it.
    expect(later.nextInMs).toBeGreaterThanOrEqual(4_000);
    await recording.stop();
  });

  it('that is stopped while it takes a point takes no other, whenever its timer comes', async () => {
    const recording = await recordings.start('alpha', EVERY);
    await later.next();
    const task = later.begin();
    await recording.stop({ forget: true });
    expect(later.nextInMs).toBeNull();
    expect(await host.engine.ids()).toEqual([]);
    expect(await readRecordingBook(host.store, 'alpha')).toBeUndefined();
    // A timer that was due at the very time it was called off.
    task();
    // Whatever is asked for next comes after all that was begun.
    await expect(recording.mark('0'.repeat(64), null)).rejects.toMatchObject({ code: 'not-found' });
    expect({ ids: await host.engine.ids(), next: later.nextInMs }).toEqual({ ids: [], next: null });
    // And it can be begun again: one point now, and one timer.
    await recordings.start('alpha', EVERY);
    await later.next();
    expect(await recording.points()).toHaveLength(1);
    await recording.stop({ forget: true });
    expect(later.nextInMs).toBeNull();
  });

  it('is refused where it makes no sense', async () => {
    const { client } = await connectTo(host);
    const codeOf = (work: Promise<unknown>) =>
      work.then(
        () => 'ok',
        (error) => error.code,
      );
    const alpha = client.machine('alpha');
    expect(await codeOf(alpha.rewindStart({ ...EVERY, everyMs: 1 }))).toBe('argument-invalid');
    expect(await codeOf(alpha.rewindStart({ ...EVERY, budgetBytes: 1 }))).toBe('argument-invalid');
    expect(await codeOf(client.machine('nobody').rewindStart(EVERY))).toBe('not-found');
    const { snapshot } = await alpha.save();
    expect(await codeOf(alpha.rewindMark(snapshot.id, 'no point'))).toBe('not-found');
    const { client: other } = await connectTo(await openFlatHost());
    expect(await codeOf(other.machine('alpha').rewindList())).toBe('unsupported');
  });

  it('stays within its budget, bookmarks stay, and every point that is left is whole', async () => {
    const random = new Random(seedOfRun());
    const flat = await openFlatHost({ alpha: 512 });
    const kept = recordingsOf(flat);
    const { memory, machine } = flat.flat.get('alpha')!;
    const budgetBytes = MIB;
    const recording = await kept.start('alpha', { everyMs: 10_000, budgetBytes });
    const instants = new Map<string, Uint8Array>();
    const scribble = (pages: number): void => {
      // What does not compress, in a part of memory that is written again and again.
      for (let count = 0; count < pages; count++) {
        const at = 4096 * random.below(64);
        for (let i = 0; i < 4096; i++) memory[at + i] = random.below(256);
      }
    };
    let marked = '';
    for (let count = 0; count < 40; count++) {
      scribble(20);
      await later.next();
      instants.set(machine.base!, memory.slice());
      expect(recording.failure).toBeNull();
      expect(recording.bytes).toBeLessThanOrEqual(budgetBytes);
      if (count === 5) {
        marked = machine.base!;
        await recording.mark(marked, 'the sixth');
      }
    }
    const points = await recording.points();
    expect(points.length).toBeLessThan(40);
    expect(points.length).toBeGreaterThan(4);
    expect(points.find(({ snapshot }) => snapshot === marked)?.bookmark).toBe('the sixth');
    // Snapshots that were thinned out are gone.
    expect((await flat.engine.ids()).sort()).toEqual(points.map(({ snapshot }) => snapshot).sort());
    // And so is what they held: 40 points of 20 pages are three times the budget.
    let storedBytes = 0;
    for (const key of await flat.store.list('packs/')) storedBytes += (await flat.store.get(key))!.length;
    expect(storedBytes).toBeGreaterThan(MIB / 2);
    expect(storedBytes).toBeLessThan(2 * MIB);
    await recording.stop();
    for (const { snapshot } of points) {
      expect(await flat.engine.verify(snapshot)).toMatchObject({ damaged: [] });
      await machine.restore(snapshot);
      expectSame(memory, instants.get(snapshot)!);
    }
    await kept.close();
  });

  it('counts layers of disks: all but what the oldest point stands on, and merged ones as they are', async () => {
    const flat = await openFlatHost({ alpha: 16 });
    const layerBytes = 200 * 1024;
    /** Every snapshot there ever was, in the order of their saves. */
    const parents = new Map<string, string | null>();
    let isMerged = false;
    let collections = 0;
    /** Each save adds a layer. Merging leaves those of snapshots that are there. */
    const layersOf = async (snapshot: SnapshotId) => {
      parents.set(snapshot, (await flat.engine.show(snapshot)).parent);
      const there = new Set<string>(await flat.engine.ids());
      const layers: SnapshotLayer[] = [];
      for (let id: string | null = snapshot; id !== null; id = parents.get(id) ?? null) {
        if (!isMerged || there.has(id)) layers.push({ path: id, bytes: layerBytes });
      }
      return layers;
    };
    const open = () =>
      new Recordings({
        ...{
          engine: flat.engine,
          store: flat.store,
          machine: (name: string) => flat.machine(name),
          layersOf,
        },
        ...{ clock: later.clock, wait: later.wait },
        collectDisks: async () => {
          collections++;
        },
      });
    const kept = open();
    // Seen from an hour later all points are old, so that any may be thinned out.
    later.nowMs = Date.now() + 3_600_000;
    const recording = await kept.start('alpha', { everyMs: 10_000, budgetBytes: 2 * MIB });
    /** Saves from the oldest point to the newest one. */
    const take = async (count: number): Promise<number> => {
      for (let point = 0; point < count; point++) {
        flat.flat.get('alpha')!.guest.run(3);
        await recording.epoch();
        expect(recording.bytes).toBeLessThanOrEqual(2 * MIB);
      }
      const points = await recording.points();
      const order = [...parents.keys()];
      return order.length - 1 - order.indexOf(points[0]!.snapshot);
    };
    const short = await take(40);
    // Whatever was thinned out in between, the newest one's chain has a layer of each save since the oldest.
    expect(short * layerBytes).toBeLessThanOrEqual(2 * MIB);
    expect(recording.bytes).toBeGreaterThanOrEqual(short * layerBytes);
    expect(collections).toBeGreaterThan(0);
    // Whoever finds it later counts the same, before the next point.
    expect((await open().of('alpha')).bytes).toBe(recording.bytes);
    // Where merging gives room back the past reaches further.
    isMerged = true;
    expect(await take(60)).toBeGreaterThan(2 * short);
    await recording.stop({ forget: true });
    expect(recording.bytes).toBe(0);
    await kept.close();
  });

  it('that is full of bookmarks takes no more, and says so, until one is forgotten', async () => {
    const random = new Random(seedOfRun());
    const flat = await openFlatHost({ alpha: 512 });
    const kept = recordingsOf(flat);
    const { memory, machine } = flat.flat.get('alpha')!;
    const recording = await kept.start('alpha', { everyMs: 10_000, budgetBytes: MIB });
    for (let count = 0; count < 3; count++) {
      for (let at = 0; at < 100 * 4096; at++) memory[count * 400_000 + at] = random.below(256);
      await later.next();
      await recording.mark(machine.base!, `number ${count}`).catch((error) => {
        expect(error.code).toBe('rewind-full');
      });
    }
    // A smaller budget than they pin down.
    const points = await recording.points();
    expect(points.filter(({ bookmark }) => bookmark !== null).length).toBeGreaterThan(1);
    await recording.stop({ forget: true });
    expect((await recording.points()).every(({ bookmark }) => bookmark !== null)).toBe(true);
    await kept.close();
  });

  it('is gone on with by the next host', async () => {
    const recording = await recordings.start('alpha', EVERY);
    await later.next();
    await recording.mark(host.flat.get('alpha')!.machine.base!, 'kept');
    await recordings.close();
    expect(later.nextInMs).toBeNull();
    const next = recordingsOf(host);
    await next.goOn(['alpha', 'beta']);
    await later.next();
    const { book } = await next.of('alpha');
    expect(book).toMatchObject({ ...EVERY, isOn: true, points: [{ bookmark: 'kept' }, { bookmark: null }] });
    expect(await readRecordingBook(host.store, 'beta')).toBeUndefined();
    await (await next.of('alpha')).stop({ forget: true });
    expect((await host.engine.log()).length).toBe(1);
    await next.close();
  });

  it('whose book is damaged says so', async () => {
    const store = openMemoryStore();
    await store.compareAndSwap('refs/recordings/alpha', null, new TextEncoder().encode('{"points":7}'));
    await expect(readRecordingBook(store, 'alpha')).rejects.toMatchObject({ code: 'format-range' });
    await store.compareAndSwap('refs/recordings/beta', null, Uint8Array.of(0xff));
    await expect(readRecordingBook(store, 'beta')).rejects.toMatchObject({ code: 'format-range' });
  });
});

describe('permissions', () => {
  it('are those of the verbs, each for its own machine', async () => {
    const id = (await host.flat.get('alpha')!.machine.save()).snapshot.id;
    await (await recordings.start('alpha', EVERY)).epoch();
    const NEEDS: Readonly<Record<string, readonly Permission[]>> = {
      start: ['save'],
      list: ['observe'],
      mark: ['save'],
      seek: ['restore'],
      resume: ['restore'],
      stop: ['save'],
      forget: ['save', 'delete'],
    };
    for (const permission of PERMISSIONS) {
      const { client } = await connectTo(host, { grant: grantOf('someone', { alpha: [permission] }) });
      for (const [name, allowed] of [
        ['alpha', true],
        ['beta', false],
      ] as const) {
        const machine = client.machine(name);
        const work: Record<string, () => Promise<unknown>> = {
          start: () => machine.rewindStart(EVERY),
          list: () => machine.rewindList(),
          mark: () => machine.rewindMark(id, null),
          seek: () => machine.rewindSeek(id),
          resume: () => machine.rewindResume(),
          stop: () => machine.rewindStop(),
          forget: () => machine.rewindStop({ forget: true }),
        };
        for (const [verb, call] of Object.entries(work)) {
          const code = await call().then(
            () => 'ok',
            (error) => error.code,
          );
          const may = allowed && NEEDS[verb]!.every((one) => one === permission);
          expect([permission, name, verb, code === 'permission-denied']).toEqual([
            permission,
            name,
            verb,
            !may,
          ]);
        }
      }
    }
  });
});

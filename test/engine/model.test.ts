// The engine against a naive model, from a seed: random runs, saves, restores, forks, deletes, collections, engines
// closed and opened again, and a store that fails now and then. The model keeps all of memory for each snapshot.
//
// SEED=… runs other histories; the seed is part of each failure's message.

import { describe, expect, it } from 'vitest';
import { isVitrineError } from '../../src/base/error.ts';
import type { Machine } from '../../src/engine/machine.ts';
import type { Vitrine } from '../../src/engine/vitrine.ts';
import type { FlatGuest } from '../../src/guest/flat.ts';
import { ThreadEncoder } from '../../src/host/pages/thread-encoder.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { faulty } from '../support/faulty-store.ts';
import { adoptFiled, adoptMirrored, FiledGuest } from '../support/filed-guest.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';
import { SwitchStore } from '../support/switch-store.ts';

const PAGES = 96;
const STEPS = 150;
const MAX_MACHINES = 3;
const TOLD_BY = ['mirror', 'shared mirror', 'digests'] as const;

type ToldBy = (typeof TOLD_BY)[number];

interface Subject {
  readonly guest: FlatGuest;
  readonly machine: Machine;
  readonly memory: Uint8Array<ArrayBuffer>;
}

/** What the model keeps of a snapshot. */
interface Remembered {
  readonly memory: Uint8Array;
  /** What the guest says when it runs on from there. */
  readonly transcript: string;
}

class History {
  readonly #saved = new Map<string, Remembered>();
  readonly #inner = openMemoryStore();
  #store = new SwitchStore(this.#inner);
  #engine!: Vitrine;
  #subjects: Subject[] = [];
  #state: number;
  #machines = 0;
  readonly counts: Record<string, number> = {};

  readonly #tracker: ToldBy;
  readonly #removals: (() => Promise<void>)[] = [];

  constructor(seed: number, tracker: ToldBy) {
    this.#tracker = tracker;
    this.#state = Math.imul(seed, 0x9e37_79b1) >>> 0 || 1;
  }

  async run(): Promise<void> {
    await this.#reopen();
    for (let step = 0; step < STEPS; step++) {
      const verb = this.#pick([
        'run',
        'run',
        'save',
        'save',
        'save',
        'restore',
        'restore',
        'fork',
        'rest',
      ] as const);
      this.counts[verb] = (this.counts[verb] ?? 0) + 1;
      if (verb === 'run') for (const { guest } of this.#subjects) guest.run(Math.floor(this.#random() * 400));
      else if (verb === 'save') await this.#save(this.#pick(this.#subjects));
      else if (verb === 'restore') await this.#restore(this.#pick(this.#subjects));
      else if (verb === 'fork') await this.#fork();
      else await this.#rest();
    }
    await this.#checkAll();
    for (const { machine } of this.#subjects) await machine.close();
    for (const remove of this.#removals) await remove();
  }

  /** Less frequent things. */
  async #rest(): Promise<void> {
    const verb = this.#pick(['delete', 'collect', 'reopen', 'check', 'diff'] as const);
    this.counts[verb] = (this.counts[verb] ?? 0) + 1;
    if (verb === 'delete') await this.#delete();
    else if (verb === 'collect') await this.#risking(async () => void (await this.#engine.collect()));
    else if (verb === 'reopen') await this.#reopen();
    else if (verb === 'check') await this.#checkAll();
    else await this.#diff();
  }

  async #save({ machine, guest, memory }: Subject): Promise<void> {
    const before = memory.slice();
    let id: string | undefined;
    await this.#risking(async () => {
      const effort = this.#pick(['none', 'fast', 'balanced'] as const);
      const live = this.#random() < 0.4 ? { live: {} } : {};
      id = (await machine.save({ effort, full: this.#random() < 0.1, ...live })).snapshot.id;
    });
    expectSame(memory, before);
    if (guest instanceof FiledGuest) expect(guest.rests).toBe(0);
    if (id !== undefined) this.#saved.set(id, { memory: before, transcript: guest.run(50) });
    else guest.run(1);
  }

  async #restore({ machine, guest, memory }: Subject): Promise<void> {
    const id = this.#pickSaved();
    if (id === undefined) return;
    const before = memory.slice();
    const done = await this.#risking(async () => void (await machine.restore(id)));
    const expected = this.#saved.get(id)!;
    expectSame(memory, done ? expected.memory : before);
    if (done) expect(guest.run(50)).toBe(expected.transcript);
    else guest.run(1);
  }

  async #fork(): Promise<void> {
    const id = this.#pickSaved();
    if (id === undefined || this.#subjects.length >= MAX_MACHINES) return;
    const subject = await this.#adopt();
    await subject.machine.restore(id);
    const expected = this.#saved.get(id)!;
    expectSame(subject.memory, expected.memory);
    expect(subject.guest.run(50)).toBe(expected.transcript);
  }

  async #delete(): Promise<void> {
    const id = this.#pickSaved();
    if (id === undefined) return;
    await this.#risking(() => this.#engine.delete([id]));
    // A failure may have come before or after: the store alone knows.
    const left = (await this.#engine.log()).some((info) => info.id === id);
    if (!left) this.#saved.delete(id);
  }

  async #diff(): Promise<void> {
    const [a, b] = [this.#pickSaved(), this.#pickSaved()];
    if (a === undefined || b === undefined) return;
    const pages = new Set<number>();
    let regionFirst = 0;
    for (const { runs, pageCount } of (await this.#engine.diff(a, b)).regions) {
      for (const { first, count } of runs) {
        for (let page = first; page < first + count; page++) pages.add(regionFirst + page);
      }
      regionFirst += pageCount;
    }
    const [ofA, ofB] = [this.#saved.get(a)!.memory, this.#saved.get(b)!.memory];
    for (let page = 0; page < PAGES; page++) {
      const differs = Buffer.compare(pageOf(ofA, page), pageOf(ofB, page)) !== 0;
      expect(pages.has(page), `page ${page}`).toBe(differs);
    }
  }

  /** Another engine over the same store, as after a reload; its machines are new. */
  async #reopen(): Promise<void> {
    this.#store = new SwitchStore(this.#inner);
    const encoder = this.#tracker === 'mirror' ? undefined : new ThreadEncoder({ fewestPages: 1 });
    this.#engine = await openTestEngine(this.#store, undefined, encoder);
    this.#subjects = [];
    await this.#adopt();
  }

  async #adopt(): Promise<Subject> {
    const tracking = this.#random() < 0.5 ? 'marks' : 'none';
    const name = `machine-${this.#machines++}`;
    const subject =
      this.#tracker === 'mirror'
        ? await adoptFlat(this.#engine, name, PAGES, { tracking })
        : await this.#adoptFiled(name, tracking);
    this.#subjects.push(subject);
    return subject;
  }

  async #adoptFiled(name: string, tracking: 'marks' | 'none'): Promise<Subject> {
    if (this.#tracker === 'shared mirror') {
      const mirrored = await adoptMirrored(this.#engine, name, PAGES, { tracking });
      this.#removals.push(mirrored.remove);
      return mirrored;
    }
    const [keptPages, fewPages] = [this.#pick([0, 5, 30, PAGES]), this.#pick([0, 20, PAGES])];
    const filed = await adoptFiled(this.#engine, name, PAGES, { keptPages, fewPages, tracking });
    this.#removals.push(filed.remove);
    return filed;
  }

  /** The log is the model's, and every snapshot is whole. */
  async #checkAll(): Promise<void> {
    const ids = (await this.#engine.log()).map(({ id }) => id);
    for (const id of this.#saved.keys()) expect(ids).toContain(id);
    for (const [id, { memory }] of this.#saved) {
      const [bytes] = await this.#engine.peek(id, [{ address: 0, lengthBytes: memory.length }]);
      expectSame(bytes!, memory);
    }
    // A save whose last step failed without telling may be there too; it is whole then.
    for (const id of ids) expect((await this.#engine.verify(id)).damaged).toEqual([]);
  }

  /** Does `work` over a store that may fail at one call; answers whether it was done. */
  async #risking(work: () => Promise<void>): Promise<boolean> {
    const calls = Math.floor(this.#random() * 10);
    const plan = this.#random() < 0.6 ? '' : 'o'.repeat(calls) + this.#pick(['E', 'e']);
    this.#store.target = faulty(this.#inner, plan);
    try {
      await work();
      return true;
    } catch (error) {
      if (!isVitrineError(error, 'store-io')) throw error;
      this.counts.failures = (this.counts.failures ?? 0) + 1;
      return false;
    } finally {
      this.#store.target = this.#inner;
    }
  }

  #pickSaved(): string | undefined {
    return this.#saved.size === 0 ? undefined : this.#pick([...this.#saved.keys()]);
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#random() * list.length)]!;
  }

  /** Xorshift32, as a number below one. */
  #random(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state / 2 ** 32;
  }
}

function pageOf(memory: Uint8Array, page: number): Uint8Array {
  return memory.subarray(page * 4096, (page + 1) * 4096);
}

describe.each(TOLD_BY)('engine against a model, told by %s', (tracker) => {
  const first = seedOfRun();
  it.each([first, first + 1, first + 2, first + 3])('seed %i', { timeout: 60_000 }, async (seed) => {
    const history = new History(seed, tracker);
    try {
      await history.run();
    } catch (cause) {
      throw new Error(`SEED=${seed}: ${cause}`, { cause });
    }
    expect(history.counts.failures).toBeGreaterThan(0);
  });
});

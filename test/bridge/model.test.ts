// Two clients of one host against a naive model, from a seed: runs, saves, restores, peeks, comparisons, deletions and
// connections that are lost at any time. The model keeps all of memory for each snapshot.
//
// SEED=… runs other histories; the seed is part of each failure's message.

import { describe, expect, it } from 'vitest';
import { isVitrineError } from '../../src/base/error.ts';
import { Random } from '../../src/testing/random.ts';
import { piecesOf } from '../support/channel-pair.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';
import { type FlatHost, openFlatHost } from './bridge-host.ts';
import { connectTo, type TestConnection } from './connect.ts';

const PAGES = 48;
const STEPS = 120;
const MACHINES = ['alpha', 'beta'] as const;
const VERBS = [
  'run',
  'run',
  'save',
  'save',
  'restore',
  'peek',
  'stored',
  'diff',
  'delete',
  'log',
  'cut',
] as const;

class Model {
  readonly counts: Record<string, number> = {};
  readonly #random: Random;
  readonly #host: FlatHost;
  readonly #clients: readonly TestConnection[];
  /** Memory by snapshot. */
  readonly #saved = new Map<string, { readonly machine: string; readonly memory: Uint8Array }>();

  constructor(random: Random, host: FlatHost, clients: readonly TestConnection[]) {
    this.#random = random;
    this.#host = host;
    this.#clients = clients;
  }

  async play(): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      const verb = this.#random.pick(VERBS);
      this.counts[verb] = (this.counts[verb] ?? 0) + 1;
      await this[verb]();
    }
    for (const id of this.#saved.keys()) {
      expect(await this.#client().verify(id)).toMatchObject({ damagedCount: 0 });
    }
  }

  async run(): Promise<void> {
    for (const { guest } of this.#host.flat.values()) guest.run(this.#random.below(400));
  }

  async save(): Promise<void> {
    const { name, memory } = this.#machine();
    const live = this.#random.chance(0.3) ? { live: {} } : {};
    const saving = this.#client().machine(name).save(live);
    const then = memory.slice();
    // The connection may go at any time; the save is saved once.
    if (this.#random.chance(0.3)) await this.cut();
    const { snapshot } = await saving;
    expect(this.#saved.has(snapshot.id)).toBe(false);
    this.#saved.set(snapshot.id, { machine: name, memory: then });
  }

  async restore(): Promise<void> {
    const id = this.#snapshot();
    if (id === undefined) return;
    const saved = this.#saved.get(id)!;
    const restoring = this.#client().machine(saved.machine).restore(id);
    if (this.#random.chance(0.3)) await this.cut();
    await restoring;
    expectSame(this.#host.flat.get(saved.machine)!.memory, saved.memory);
  }

  async peek(): Promise<void> {
    const { name, memory } = this.#machine();
    const ranges = this.#ranges();
    const { bytes } = await this.#client().machine(name).peek(ranges);
    for (const [index, { address, lengthBytes }] of ranges.entries()) {
      expectSame(bytes[index]!, memory.subarray(address, address + lengthBytes));
    }
  }

  async stored(): Promise<void> {
    const id = this.#snapshot();
    if (id === undefined) return;
    const ranges = this.#ranges();
    const bytes = await this.#client().peek(id, ranges);
    const { memory } = this.#saved.get(id)!;
    for (const [index, { address, lengthBytes }] of ranges.entries()) {
      expectSame(bytes[index]!, memory.subarray(address, address + lengthBytes));
    }
  }

  async diff(): Promise<void> {
    const [a, b] = [this.#snapshot(), this.#snapshot()];
    if (a === undefined || b === undefined) return;
    const [ofA, ofB] = [this.#saved.get(a)!.memory, this.#saved.get(b)!.memory];
    const { regions } = await this.#client().diff(a, b);
    const found = regions[0]!.runs.flatMap(({ first, count }) =>
      Array.from({ length: count }, (_, index) => first + index),
    );
    const wanted = Array.from({ length: PAGES }, (_, page) => page).filter(
      (page) => Buffer.compare(pageOf(ofA, page), pageOf(ofB, page)) !== 0,
    );
    expect(found).toEqual(wanted);
  }

  async delete(): Promise<void> {
    const id = this.#snapshot();
    if (id === undefined || this.#saved.size < 4) return;
    await this.#client().delete([id]);
    this.#saved.delete(id);
    if (this.#random.chance(0.5)) await this.#client().collect();
    await expect(this.#client().show(id)).rejects.toMatchObject({ code: 'not-found' });
  }

  async log(): Promise<void> {
    const ids = (await this.#client().log()).map(({ id }) => id);
    expect(ids.sort()).toEqual([...this.#saved.keys()].sort());
  }

  /** A connection is lost in the middle of something else. */
  async cut(): Promise<void> {
    const connection = this.#random.pick(this.#clients);
    const listing = connection.client.machines();
    connection.clientEnd.cut();
    const outcome = await listing.then(
      () => 'ok',
      (error) => (isVitrineError(error) ? error.code : String(error)),
    );
    expect(outcome).toBe('connection-lost');
    await expect.poll(() => connection.client.state.kind, { interval: 1 }).toBe('open');
  }

  #client() {
    return this.#random.pick(this.#clients).client;
  }

  #machine() {
    const machine = this.#host.flat.get(this.#random.pick(MACHINES))!;
    if (this.#random.chance(0.5)) machine.guest.run(this.#random.below(300));
    return machine;
  }

  #snapshot(): string | undefined {
    return this.#saved.size === 0 ? undefined : this.#random.pick([...this.#saved.keys()]);
  }

  #ranges() {
    return Array.from({ length: 1 + this.#random.below(4) }, () => {
      const address = this.#random.below(PAGES * 4096 - 1);
      const lengthBytes = 1 + this.#random.below(Math.min(50_000, PAGES * 4096 - address));
      return { address, lengthBytes };
    });
  }
}

function pageOf(memory: Uint8Array, page: number): Uint8Array {
  return memory.subarray(page * 4096, page * 4096 + 4096);
}

describe('a host with two clients', () => {
  for (let index = 0; index < 4; index++) {
    const seed = seedOfRun() + index;
    it(`does what the model does, seed ${seed}`, async () => {
      const random = new Random(seed);
      const host = await openFlatHost(Object.fromEntries(MACHINES.map((name) => [name, PAGES])));
      const cutBytes = random.pick([1 << 20, 3000, 40_000]);
      const pair = { cut: (message: Uint8Array<ArrayBuffer>) => piecesOf(message, cutBytes) };
      const session = { requestBurst: 1e6 };
      const clients = [await connectTo(host, { pair, session }), await connectTo(host, { session })];
      const model = new Model(random, host, clients);
      await model.play();
      expect(Object.keys(model.counts).length).toBe(new Set(VERBS).size);
    });
  }
});

// The walk over an emulator's objects: what of JavaScript comes back, what is refused and under which name, and that a
// restore is all or nothing.

import { describe, expect, it } from 'vitest';
import { type ErrorData, VitrineError } from '../../../src/base/error.ts';
import { ObjectGraph } from '../../../src/guest/object-graph/object-graph.ts';
import { Random } from '../../../src/testing/random.ts';
import { seedOfRun } from '../../support/seed.ts';

class Chip {
  count = 0;
  add(): void {
    this.count++;
  }
}

class LateChip extends Chip {
  readonly late = true;
}

class Slots extends Map<string, number> {}

/** One of each thing that an emulator may hold. */
function everything() {
  const chip = new Chip();
  const words = new Uint32Array([1, 2, 3]);
  const root = {
    number: 1.5,
    zero: 0,
    odd: Number.NaN,
    far: Number.NEGATIVE_INFINITY,
    yes: true,
    none: null as object | null,
    gone: undefined as unknown,
    text: 'ü\ud800x',
    big: -(2n ** 90n),
    chip,
    sameChip: chip,
    chips: [chip, new Chip()],
    sparse: Object.assign(new Array<number>(5), { 2: 7 }) as (number | undefined)[],
    byName: new Map<unknown, unknown>([['a', chip]]),
    slots: new Slots([['x', 1]]),
    set: new Set<unknown>([1, chip]),
    words,
    upper: new Uint16Array(words.buffer, 4, 2),
    view: new DataView(words.buffer),
    date: new Date(86_400_000),
    self: null as unknown,
    plain: Object.assign(Object.create(null), { a: 1 }) as Record<string, unknown>,
    call: (): number => 1,
    other: (): number => 2,
    method: Chip.prototype.add,
  };
  root.self = root;
  return root;
}

const refusal = (work: () => unknown): ErrorData | string => {
  try {
    work();
    return 'nothing thrown';
  } catch (error) {
    if (error instanceof VitrineError) return { code: error.code, ...error.data };
    throw error;
  }
};

describe('an object graph', () => {
  it('brings back every kind of value into the very objects it took stock of', () => {
    const root = everything();
    const { chip, words, view, date, byName, call, other } = root;
    const graph = new ObjectGraph(root);
    const saved = graph.save();
    Object.assign(root, {
      number: 2,
      zero: -0,
      odd: 1,
      far: 1,
      yes: false,
      none: {},
      gone: 3,
      text: '',
      big: 0n,
    });
    Object.assign(root, {
      chip: new Chip(),
      sparse: [],
      date: new Date(1),
      call: other,
      method: null,
      self: null,
    });
    chip.count = 9;
    root.chips.pop();
    byName.clear();
    root.slots.set('x', 2).set('y', 3);
    root.set.delete(1);
    words[1] = 77;
    date.setTime(5);
    root.plain.b = 2;
    delete (root as Partial<typeof root>).sameChip;
    graph.load(saved);
    expect(graph.save()).toEqual(saved);
    expect(root.chip).toBe(chip);
    expect([root.sameChip, root.chips[0], root.byName.get('a')]).toEqual([chip, chip, chip]);
    expect(root.byName).toBe(byName);
    expect(root.date).toBe(date);
    expect(root.view).toBe(view);
    expect([root.call, root.method]).toEqual([call, Chip.prototype.add]);
    const { self, sparse, ...rest } = root;
    const { self: _, sparse: wantedSparse, call: __, other: ___, ...wanted } = everything();
    expect({ ...rest }).toMatchObject(wanted);
    expect(Object.is(root.zero, 0)).toBe(true);
    expect(Object.keys(sparse)).toEqual(Object.keys(wantedSparse));
    expect(self).toBe(root);
    expect(Object.keys(root)).toEqual(Object.keys(everything()));
  });

  it('makes anew what was made since, with its class, its sharing and its cycles', () => {
    const open = () => {
      const root = { chip: new Chip(), held: null as unknown };
      return { root, graph: new ObjectGraph(root, { classes: [LateChip] }) };
    };
    const { root, graph } = open();
    const late = new LateChip();
    const buffer = new ArrayBuffer(16);
    const ring: unknown[] = [late, late, root.chip, new Float64Array(buffer, 8, 1), new Uint8Array(buffer)];
    ring.push(
      ring,
      new Map([[late, new Set([ring])]]),
      new Date(7),
      Object.assign(new Array(3), { 0: [], 2: 1 }),
      Object.create(null),
    );
    (ring[4] as Uint8Array)[8] = 3;
    root.held = ring;
    const saved = graph.save();
    for (const target of [{ root, graph }, open()]) {
      target.root.held = 'something else';
      target.graph.load(saved);
      expect(target.graph.save()).toEqual(saved);
      const held = target.root.held as unknown[];
      expect(held).not.toBe(ring);
      expect(held[0]).toBeInstanceOf(LateChip);
      expect(held[1]).toBe(held[0]);
      expect(held[2]).toBe(target.root.chip);
      expect((held[3] as Float64Array).buffer).toBe((held[4] as Uint8Array).buffer);
      expect(held[5]).toBe(held);
      expect([...(held[6] as Map<unknown, Set<unknown>>).get(held[0])!]).toEqual([held]);
      expect(1 in (held[8] as unknown[])).toBe(false);
      expect(Object.getPrototypeOf(held[9])).toBe(null);
    }
  });

  it('leaves the places of the host alone', () => {
    const root = {
      uart: [
        { onByte: undefined as unknown, rate: 1 },
        { onByte: undefined as unknown, rate: 2 },
      ],
    };
    const graph = new ObjectGraph(root, { wiring: ['uart.*.onByte'] });
    const before = graph.save();
    const listener = () => {};
    root.uart[1]!.onByte = listener;
    root.uart[1]!.rate = 5;
    Object.assign(root.uart[0]!, { added: 1 });
    expect(graph.difference(before, graph.save())).toBe('uart.0: fields rate and rate,added');
    graph.load(before);
    expect(root).toEqual({ uart: [{ rate: 1 }, { onByte: listener, rate: 2 }] });
    expect(graph.save()).toEqual(before);
  });

  it('names what it cannot save by its path', () => {
    const root = {
      parts: [{ chip: null as unknown, call: null as unknown }],
      map: new Map<unknown, unknown>(),
    };
    const graph = new ObjectGraph(root);
    const good = graph.save();
    const part = root.parts[0]!;
    part.call = () => {};
    expect(refusal(() => graph.save())).toMatchObject({ code: 'unsupported', path: 'parts.0.call' });
    part.call = null;
    part.chip = { list: [new LateChip()] };
    expect(refusal(() => graph.save())).toMatchObject({ path: 'parts.0.chip.list.0' });
    part.chip = Promise.resolve();
    expect(refusal(() => graph.save())).toMatchObject({ path: 'parts.0.chip', missing: 'Promise' });
    part.chip = null;
    root.map.set('k', Symbol('s'));
    expect(refusal(() => graph.save())).toMatchObject({ path: 'map.value 0', missing: 'symbol' });
    root.map.clear();
    expect(graph.save()).toEqual(good);
    expect(refusal(() => new ObjectGraph({ a: { b: new WeakMap() } }))).toMatchObject({ path: 'a.b' });
  });

  it('names the first difference by its path', () => {
    const root = everything();
    const graph = new ObjectGraph(root);
    const saved = graph.save();
    const differenceAfter = (change: () => void) => {
      graph.load(saved);
      change();
      return graph.difference(saved, graph.save());
    };
    expect(differenceAfter(() => {})).toBe(undefined);
    expect(differenceAfter(() => root.chips[1]!.add())).toBe('chips.1.count: 0 and 1');
    expect(differenceAfter(() => root.chips.pop())).toBe('chips.1: the object at chips.1 and nothing');
    expect(differenceAfter(() => root.words.set([9], 2))).toBe('words.buffer at byte 8: 3 and 9');
    expect(differenceAfter(() => root.byName.set('b', { n: [1] }))).toBe('byName.key 1: nothing and "b"');
    root.none = { n: [1] };
    const withNew = graph.save();
    (root.none as { n: unknown[] }).n[0] = 2n;
    expect(graph.difference(withNew, graph.save())).toBe('none.n.0: 1 and 2n');
  });

  it('changes nothing when an object refuses', () => {
    const graph = new ObjectGraph(everything());
    const before = graph.save();
    expect(refusal(() => graph.load(new Uint8Array(30)))).toMatchObject({ code: 'guest-state-invalid' });
    expect(graph.save()).toEqual(before);
    // A frozen object that would have to change.
    const frozen = { first: { n: 1 }, list: [1], last: Object.seal({ n: 1 }) as { n?: number } };
    const sealed = new ObjectGraph(frozen);
    const good = sealed.save();
    frozen.first.n = 2;
    frozen.list.push(2);
    frozen.last.n = 2;
    Object.freeze(frozen.last);
    const now = sealed.save();
    expect(refusal(() => sealed.load(good))).toMatchObject({ code: 'guest-state-invalid', path: 'last' });
    expect(sealed.save()).toEqual(now);
  });

  it('refuses or takes any damage, and is never broken by it', () => {
    const seed = seedOfRun();
    const random = new Random(seed);
    const root = everything();
    const graph = new ObjectGraph(root, { classes: [LateChip] });
    root.none = [new LateChip(), new Uint16Array(4), new Map([[1, [2]]])];
    const good = graph.save();
    let refused = 0;
    for (let round = 0; round < 4000; round++) {
      const bytes = random.chance(0.1) ? good.slice(0, random.below(good.length)) : good.slice();
      for (let left = random.below(4); left >= 0 && bytes.length > 0; left--) {
        const at = random.below(bytes.length);
        bytes[at] = random.chance(0.5) ? random.below(12) : random.below(256);
      }
      const answer = refusal(() => graph.load(bytes));
      if (answer !== 'nothing thrown') {
        expect({ seed, round, answer }).toMatchObject({ answer: { code: 'guest-state-invalid' } });
        refused++;
      }
      graph.save();
      graph.load(good);
      expect({ seed, round, same: Buffer.compare(graph.save(), good) }).toEqual({ seed, round, same: 0 });
    }
    expect(refused).toBeGreaterThan(1000);
    expect(({} as { polluted?: unknown }).polluted).toBe(undefined);
  });

  it('has one digest for machines made alike', () => {
    expect(new ObjectGraph(everything()).digest).toBe(new ObjectGraph(everything()).digest);
    expect(new ObjectGraph({ ...everything(), more: 1 }).digest).not.toBe(
      new ObjectGraph(everything()).digest,
    );
    const state = everything();
    state.chips[0]!.count = 7;
    expect(new ObjectGraph(state).digest).toBe(new ObjectGraph(everything()).digest);
  });
});

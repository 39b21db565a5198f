// Each store call failing at the n-th, for every n and each way to fail; guests that fail; stores that are damaged.
// What must hold: the guest's memory and its run are as if nothing had been tried, every snapshot that was there is
// whole, and the next save has every change.

import { describe, expect, it } from 'vitest';
import { type ErrorCode, VitrineError } from '../../src/base/error.ts';
import { FlatGuest, type FlatGuestOptions } from '../../src/guest/flat.ts';
import type { DeviceRecord } from '../../src/guest/guest.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import type { Span } from '../../src/memory/span.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { failAt, faulty } from '../support/faulty-store.ts';
import { expectSame } from '../support/same.ts';
import { deletingOneByOne, SwitchStore } from '../support/switch-store.ts';

const PAGES = 48;

/** A machine with one snapshot, and changes since. */
async function open(contents = new Map()) {
  const inner = openMemoryStore({ contents });
  const store = new SwitchStore(inner);
  const engine = await openTestEngine(store);
  const flat = await adoptFlat(engine, 'flat', PAGES, { tracking: 'marks' });
  flat.guest.run(2000);
  const first = { id: (await flat.machine.save()).snapshot.id, memory: flat.memory.slice() };
  flat.guest.run(300);
  return { inner, store, engine, first, ...flat };
}

/** Every snapshot listed by a new engine over `contents` is whole; returns how many there are. */
async function expectWhole(contents: Map<string, Uint8Array<ArrayBuffer>>): Promise<number> {
  const engine = await openTestEngine(openMemoryStore({ contents }));
  const infos = await engine.log();
  for (const { id } of infos) expect((await engine.verify(id)).damaged).toEqual([]);
  return infos.length;
}

describe.each(['E', 'e', 'K', 'k'] as const)('a store that fails (%s)', (letter) => {
  it('at any call of a save loses nothing', async () => {
    let failures = 0;
    for (let n = 0; ; n++) {
      const contents = new Map();
      const { inner, store, engine, first, guest, machine, memory } = await open(contents);
      const before = memory.slice();
      const plan = faulty(inner, failAt(n, letter));
      store.target = plan;
      const outcome = await machine.save({ label: 'risky' }).then(
        () => 'saved',
        (error) => error.code,
      );
      store.target = inner;
      expectSame(memory, before);
      if (!plan.failed) {
        expect(outcome).toBe('saved');
        break;
      }
      failures++;
      expect(['saved', 'store-io']).toContain(outcome);
      // Whoever reads the store next finds the first snapshot, and the second only if it is whole.
      const count = await expectWhole(contents);
      if (outcome === 'saved') expect(count).toBe(2);
      guest.run(10);
      const after = memory.slice();
      const { snapshot } = await machine.save();
      guest.run(200);
      await machine.restore(snapshot.id);
      expectSame(memory, after);
      const [bytes] = await engine.peek(first.id, [{ address: 0, lengthBytes: first.memory.length }]);
      expectSame(bytes!, first.memory);
    }
    expect(failures).toBeGreaterThan(5);
  });

  it('at any call of a restore leaves the guest as it was', async () => {
    let failures = 0;
    for (let n = 0; ; n++) {
      const contents = new Map();
      const opened = await open(contents);
      await opened.machine.save();
      // A new engine has nothing in its caches: every part is read.
      const store = new SwitchStore(openMemoryStore({ contents }));
      const inner = store.target;
      const engine = await openTestEngine(store);
      const { guest, machine, memory } = await adoptFlat(engine, 'other', PAGES);
      guest.run(500);
      const twin = new FlatGuest({ regions: [{ name: 'ram', bytes: memory.slice(), guestAddress: 0 }] });
      await twin.pause();
      await guest.pause();
      twin.loadDevices(guest.saveDevices());
      await guest.resume();
      await twin.resume();
      const before = memory.slice();
      const plan = faulty(inner, failAt(n, letter));
      store.target = plan;
      const outcome = await machine.restore(opened.first.id).then(
        () => 'restored',
        (error) => error.code,
      );
      store.target = inner;
      if (!plan.failed) {
        expectSame(memory, opened.first.memory);
        break;
      }
      failures++;
      if (outcome === 'restored') expectSame(memory, opened.first.memory);
      else {
        expect(outcome).toBe('store-io');
        expectSame(memory, before);
        expect(guest.run(100)).toBe(twin.run(100));
      }
      await machine.restore(opened.first.id);
      expectSame(memory, opened.first.memory);
    }
    expect(failures).toBeGreaterThan(5);
  });

  it('at any call of a deletion and collection loses no other snapshot', async () => {
    let failures = 0;
    for (let n = 0; ; n++) {
      const contents = new Map();
      const { inner, store, engine, first, guest, machine, memory } = await open(contents);
      const kept: { id: string; memory: Uint8Array }[] = [];
      for (let round = 0; round < 4; round++) {
        guest.run(60);
        kept.push({ id: (await machine.save()).snapshot.id, memory: memory.slice() });
      }
      const plan = faulty(inner, failAt(n, letter));
      store.target = deletingOneByOne(plan);
      await engine
        .delete([first.id, kept[1]!.id, kept[2]!.id])
        .then(() => engine.collect())
        .catch((error) => expect(error.code).toBe('store-io'));
      store.target = inner;
      // Content of what was deleted comes back: a save must not rely on what is left of it.
      const late = await openTestEngine(openMemoryStore({ contents }));
      const again = await adoptFlat(late, 'again', PAGES);
      again.memory.set(kept[2]!.memory);
      kept.push({ id: (await again.machine.save()).snapshot.id, memory: kept[2]!.memory });
      const fresh = await openTestEngine(openMemoryStore({ contents }));
      for (const index of [0, 3, 4]) {
        const { id, memory: expected } = kept[index]!;
        const [bytes] = await fresh.peek(id, [{ address: 0, lengthBytes: expected.length }]);
        expectSame(bytes!, expected);
        const [same] = await engine.peek(id, [{ address: 0, lengthBytes: expected.length }]);
        expectSame(same!, expected);
      }
      await expectWhole(contents);
      if (!plan.failed) break;
      failures++;
    }
    expect(failures).toBeGreaterThan(8);
  });
});

describe('a store after a power cut', () => {
  it('may have lost a pack behind its index: no later save relies on it', async () => {
    const contents = new Map<string, Uint8Array<ArrayBuffer>>();
    const { machine, guest, memory } = await open(contents);
    await machine.save();
    for (const pack of [...contents.keys()].filter((key) => key.startsWith('packs/'))) {
      const after = new Map(contents);
      after.delete(pack);
      const engine = await openTestEngine(openMemoryStore({ contents: after }));
      const again = await adoptFlat(engine, 'again', PAGES);
      again.memory.set(memory);
      const { snapshot } = await again.machine.save();
      expect((await engine.verify(snapshot.id)).damaged).toEqual([]);
    }
    guest.run(1);
  });
});

describe('a store without room', () => {
  it('keeps what it has, says so, and the guest runs on', async () => {
    const contents = new Map();
    const { inner, store, guest, machine, memory } = await open(contents);
    store.target = openMemoryStore({ contents, capacityBytes: inner.usedBytes + 500 });
    guest.run(4000);
    const before = memory.slice();
    await expect(machine.save()).rejects.toMatchObject({ code: 'store-full' });
    expectSame(memory, before);
    expect(await expectWhole(contents)).toBe(1);
    store.target = openMemoryStore({ contents });
    const { snapshot } = await machine.save();
    guest.run(100);
    await machine.restore(snapshot.id);
    expectSame(memory, before);
  });
});

describe('a damaged store', () => {
  it('is noticed before the guest sees a byte, in every pack and manifest', async () => {
    const contents = new Map<string, Uint8Array<ArrayBuffer>>();
    const { first, machine, memory, guest } = await open(contents);
    await machine.save();
    const codes = new Set<string>();
    const keys = [...contents.keys()].filter((key) => !key.startsWith('refs/'));
    expect(keys.length).toBeGreaterThan(3);
    for (const key of keys) {
      const whole = contents.get(key)!;
      for (const flip of [0, 5, 30, whole.length >> 1, whole.length - 1]) {
        const damaged = whole.slice();
        damaged[flip]! ^= 0x10;
        contents.set(key, damaged);
        const code = await tryRestore(contents, first.id, first.memory);
        if (code !== undefined) codes.add(code);
        contents.set(key, whole);
      }
      contents.delete(key);
      const code = await tryRestore(contents, first.id, first.memory);
      if (code !== undefined) codes.add(code);
      contents.set(key, whole);
    }
    expect(
      [...codes].every((code) => /^(object-|format-|not-found)/.test(code)),
      [...codes].join(),
    ).toBe(true);
    expect(codes.size).toBeGreaterThan(2);
    guest.run(1);
    expect(memory.length).toBe(PAGES * 4096);
  });
});

/** Restores into a fresh machine: the snapshot's memory exactly, or a typed error and the guest as it was. */
async function tryRestore(
  contents: Map<string, Uint8Array<ArrayBuffer>>,
  id: string,
  expected: Uint8Array,
): Promise<string | undefined> {
  let before: Uint8Array | undefined;
  let memory: Uint8Array | undefined;
  try {
    const engine = await openTestEngine(openMemoryStore({ contents: new Map(contents) }));
    const flat = await adoptFlat(engine, 'fresh', PAGES);
    flat.guest.run(100);
    memory = flat.memory;
    before = memory.slice();
    await flat.machine.restore(id);
    expectSame(memory, expected);
    return undefined;
  } catch (error) {
    if (!(error instanceof VitrineError)) throw error;
    if (memory !== undefined && before !== undefined) expectSame(memory, before);
    return error.code;
  }
}

/** A flat guest that fails at the n-th call of one method. */
class FailingGuest extends FlatGuest {
  failing: 'saveDevices' | 'loadDevices' | 'writePages' | 'readPages' | 'none' = 'none';
  left = 0;

  constructor(options: FlatGuestOptions) {
    super(options);
  }

  override view(): undefined {
    return undefined;
  }

  override saveDevices(): DeviceRecord[] {
    this.#count('saveDevices');
    return super.saveDevices();
  }

  override loadDevices(records: readonly DeviceRecord[]): void {
    this.#count('loadDevices', 'guest-state-invalid');
    super.loadDevices(records);
  }

  override writePages(span: Span, from: Uint8Array): void {
    this.#count('writePages');
    super.writePages(span, from);
  }

  override readPages(span: Span, into: Uint8Array): void {
    this.#count('readPages');
    super.readPages(span, into);
  }

  #count(method: string, code: ErrorCode = 'guest-failed'): void {
    if (method !== this.failing || this.left-- > 0) return;
    this.failing = 'none';
    throw new VitrineError(code, { method });
  }
}

describe('a guest that fails', () => {
  const methods = ['saveDevices', 'loadDevices', 'writePages', 'readPages'] as const;
  it.each(methods)('in %s, at any call, runs on and nothing is lost', async (method) => {
    let failures = 0;
    for (let n = 0; ; n++) {
      const engine = await openTestEngine();
      const memory = new Uint8Array(PAGES * 4096);
      const regions = [{ name: 'ram', bytes: memory, guestAddress: 0 }];
      const guest = new FailingGuest({ regions, tracking: 'marks' });
      const machine = engine.adopt(
        'failing',
        await openScanTracker(guest, { openKernels: () => loadKernels() }),
      );
      guest.run(1000);
      const first = { id: (await machine.save()).snapshot.id, memory: memory.slice() };
      guest.run(500);
      const second = { id: (await machine.save()).snapshot.id, memory: memory.slice() };
      guest.run(20);
      const before = memory.slice();
      guest.left = n;
      guest.failing = method;
      const restored = await machine.restore(first.id).then(
        () => true,
        (error) => {
          expect(error.code).toMatch(/^guest-/);
          return false;
        },
      );
      const failedInRestore = !restored;
      if (failedInRestore) expectSame(memory, before);
      const saved = memory.slice();
      const third = await machine.save().then(
        (report) => report.snapshot.id,
        () => null,
      );
      const untouched = guest.failing === method;
      guest.failing = 'none';
      expectSame(memory, saved);
      guest.run(30);
      const id = third ?? (await machine.save()).snapshot.id;
      const expected = third === null ? memory.slice() : saved;
      for (const one of [second, first, { id, memory: expected }]) {
        await machine.restore(one.id);
        expectSame(memory, one.memory);
      }
      if (untouched) break;
      failures++;
    }
    expect(failures).toBeGreaterThan(0);
  });
});

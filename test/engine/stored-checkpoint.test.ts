// Checkpoints of machines without a copy of their memory: a reset is exact whatever was saved, restored and collected since, and
// their snapshots go when nobody needs them any more.

import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import { failAt, faulty } from '../support/faulty-store.ts';
import { FiledGuests } from '../support/filed-guests.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGES = 60;
const PAGE = 4096;

const filed = new FiledGuests(PAGES);

const labels = async (): Promise<string[]> => (await filed.engine.log()).map(({ label }) => label);

describe('a stored checkpoint', () => {
  it('is what a reset brings back, bit by bit, again and again', async () => {
    const { guest, machine, memory } = await filed.open();
    guest.run(300);
    const { snapshot } = await machine.save({ label: 'before' });
    const { pagesScanned } = await machine.checkpoint();
    expect(pagesScanned).toBe(PAGES);
    expect(machine.base).toBe(snapshot.id);
    const kept = memory.slice();
    const transcript = guest.run(100);
    for (let round = 0; round < 3; round++) {
      const differing = Array.from({ length: PAGES }, (_, page) => page * PAGE).filter(
        (at) => Buffer.compare(memory.subarray(at, at + PAGE), kept.subarray(at, at + PAGE)) !== 0,
      );
      const { pagesWritten, pagesCompared } = await machine.reset();
      expect(pagesWritten).toBe(differing.length);
      expect(pagesCompared).toBe(PAGES);
      expectSame(memory, kept);
      expect(guest.rests).toBe(0);
      expect(guest.run(100)).toBe(transcript);
    }
    const next = await machine.save({ label: 'after' });
    expect(next.snapshot.parent).toBe(snapshot.id);
    const [bytes] = await filed.engine.peek(next.snapshot.id, [{ address: 0, lengthBytes: memory.length }]);
    expectSame(bytes!, memory);
  });

  it('agrees with a model through saves, restores, other checkpoints and collections', async () => {
    const random = new Random(seedOfRun());
    for (let history = 0; history < 4; history++) {
      const { guest, machine, memory } = await filed.open();
      let point: Uint8Array | undefined;
      const saved = new Map<string, Uint8Array>();
      for (let step = 0; step < 40; step++) {
        guest.run(random.below(200));
        const verb = random.pick([
          'checkpoint',
          'reset',
          'reset',
          'save',
          'restore',
          'drop',
          'collect',
        ] as const);
        if (verb === 'checkpoint') {
          await machine.checkpoint();
          point = memory.slice();
        } else if (verb === 'reset') {
          const before = memory.slice();
          const code = await codeOf(() => machine.reset());
          expect(code).toBe(point === undefined ? 'wrong-state' : 'none');
          expectSame(memory, point ?? before);
        } else if (verb === 'save') {
          const { snapshot } = await machine.save(random.chance(0.3) ? { live: {} } : {});
          saved.set(snapshot.id, memory.slice());
        } else if (verb === 'restore' && saved.size > 0) {
          const id = random.pick([...saved.keys()]);
          await machine.restore(id);
          expectSame(memory, saved.get(id)!);
        } else if (verb === 'drop') {
          await machine.dropCheckpoint();
          point = undefined;
        } else if (verb === 'collect') await filed.engine.collect();
      }
      await machine.dropCheckpoint();
      await filed.close();
      // Of checkpoints nothing is left but what the guest was told from, and that went with it.
      expect((await labels()).filter((label) => label !== '')).toEqual([]);
      for (const [id, bytes] of saved) {
        const [found] = await filed.engine.peek(id, [{ address: 0, lengthBytes: memory.length }]);
        expectSame(found!, bytes);
      }
    }
  });

  it('stays where another one fails, and goes where it is dropped', async () => {
    const { guest, machine, memory } = await filed.open();
    guest.run(200);
    await machine.checkpoint();
    const kept = memory.slice();
    const inner = filed.store.target;
    let failures = 0;
    for (let calls = 0; ; calls++) {
      guest.run(50);
      const broken = faulty(inner, failAt(calls), { only: ['put', 'compareAndSwap'] });
      filed.store.target = broken;
      const code = await codeOf(() => machine.checkpoint());
      filed.store.target = inner;
      if (!broken.failed) break;
      if (code === 'none') break;
      failures++;
      await machine.reset();
      expectSame(memory, kept);
    }
    expect(failures).toBeGreaterThan(1);
    await machine.dropCheckpoint();
    expect(await codeOf(() => machine.reset())).toBe('wrong-state');
    await machine.save({ label: 'mine' });
    expect(await labels()).toEqual(['mine']);
  });

  it('that somebody deleted is missed, and the machine goes on', async () => {
    const { guest, machine, memory } = await filed.open();
    guest.run(200);
    await machine.checkpoint();
    const [info] = await filed.engine.log();
    expect(info!.label).toBe('checkpoint of filed');
    await filed.engine.delete([info!.id]);
    await filed.engine.collect();
    guest.run(50);
    const before = memory.slice();
    expect(await codeOf(() => machine.reset())).toBe('not-found');
    expectSame(memory, before);
    expect(guest.rests).toBe(0);
    const { snapshot } = await machine.save();
    const [bytes] = await filed.engine.peek(snapshot.id, [{ address: 0, lengthBytes: memory.length }]);
    expectSame(bytes!, before);
  });
});

// The lock of one process: sharers together, an exclusive one alone, and nobody overtaken for ever.

import { describe, expect, it } from 'vitest';
import { LocalLock } from '../../src/engine/lock.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';

/** Work that ends when it is told to, and says when it began. */
function step() {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const state = { began: false };
  const work = async (): Promise<void> => {
    state.began = true;
    await ended;
  };
  return { state, work, end };
}

/** Every promise that could settle by now has. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

describe('LocalLock', () => {
  it('lets sharers in together and an exclusive one alone', async () => {
    const lock = new LocalLock();
    const [a, b, alone, late] = [step(), step(), step(), step()];
    const all = [
      lock.shared(a.work),
      lock.shared(b.work),
      lock.exclusive(alone.work),
      lock.shared(late.work),
    ];
    const began = () => [a, b, alone, late].map(({ state }) => state.began);
    await settle();
    // The late sharer waits behind the exclusive one, which otherwise might never have its turn.
    expect(began()).toEqual([true, true, false, false]);
    a.end();
    await settle();
    expect(began()).toEqual([true, true, false, false]);
    b.end();
    await settle();
    expect(began()).toEqual([true, true, true, false]);
    alone.end();
    await settle();
    expect(began()).toEqual([true, true, true, true]);
    late.end();
    await Promise.all(all);
  });

  it('is given back when the work fails, at once or later', async () => {
    const lock = new LocalLock();
    const failing = [
      lock.exclusive(() => Promise.reject(new Error('later'))),
      lock.shared(() => {
        throw new Error('at once');
      }),
    ];
    const outcomes = await Promise.allSettled(failing);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await lock.exclusive(async () => 'free')).toBe('free');
  });

  it('never lets a writer meet anybody, in any order of calls', async () => {
    const seed = seedOfRun();
    const random = new Random(seed);
    const lock = new LocalLock();
    const inside = { shared: 0, exclusive: 0 };
    const met: string[] = [];
    let mostSharers = 0;
    const enter = (kind: 'shared' | 'exclusive') =>
      lock[kind](async () => {
        inside[kind]++;
        if (inside.exclusive > 1 || (inside.exclusive > 0 && inside.shared > 0))
          met.push(JSON.stringify(inside));
        mostSharers = Math.max(mostSharers, inside.shared);
        for (let ticks = random.below(5); ticks > 0; ticks--) await Promise.resolve();
        inside[kind]--;
      });
    await Promise.all(Array.from({ length: 500 }, () => enter(random.chance(0.2) ? 'exclusive' : 'shared')));
    expect(met, `SEED=${seed}`).toEqual([]);
    expect(mostSharers).toBeGreaterThan(1);
  });
});

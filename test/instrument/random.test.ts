// Random programs against themselves: memory, results, traps and marks after each call.
import { expect, it } from 'vitest';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';
import { wat } from '../support/wat.ts';
import { randomProgram } from './programs.ts';
import { KINDS, Twins } from './twins.ts';

const PROGRAMS = Number(process.env.PROGRAMS ?? 16);
const CALLS = 6;

it.each(KINDS)('%s of what programs at random write', (kind) => {
  const seed = seedOfRun();
  let [changed, marked, proven, stores, trapped] = [0, 0, 0, 0, 0];
  for (let index = 0; index < PROGRAMS; index++) {
    const random = new Random(seed * 100_000 + index);
    const below = (limit: number): number => random.below(limit);
    const module = wat(randomProgram(below));
    const pageBytes = [256, 4_096, 65_536][index % 3]!;
    let call = '';
    try {
      const twins = new Twins(module, { kind, pageBytes });
      for (let round = 0; round < CALLS; round++) {
        const args = Array.from({ length: 5 }, () => below(49_152));
        call = `f${round % 4}(${args.join(', ')})`;
        const result = twins.call(`f${round % 4}`, ...args);
        changed += result.changed;
        marked += result.marked;
        if (result.trapped) trapped++;
      }
      proven += twins.report.proven;
      stores += twins.report.stores;
    } catch (cause) {
      throw new Error(`SEED=${seed}, program ${index}, ${call}`, { cause });
    }
  }
  expect(changed).toBeGreaterThan(PROGRAMS);
  expect(proven).toBeGreaterThan(stores / 20);
  // Marking everything would be no proof.
  expect(marked).toBeLessThan(changed * 3);
  expect(trapped).toBeLessThan(PROGRAMS);
  if (process.env.VERBOSE) console.log({ changed, marked, proven, stores, trapped });
});

// Threads that compare RAM with its mirror: they find what differs, and take it, as this thread would alone.

import { beforeEach, describe, expect, it } from 'vitest';
import { MirrorThreads } from '../../src/host/pages/mirror-threads.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import type { PageSet } from '../../src/memory/page-set.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import { Mirror } from '../../src/tracking/mirror.ts';
import { PAGE, RamFile } from '../support/ram-file.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

/** The second region begins in the middle of a chunk, and ends in the middle of one. */
const file = new RamFile([77, 333]);
const { counts } = file;

let mirror: Mirror;
let scanner: MirrorThreads;

beforeEach(async () => {
  mirror = await Mirror.open(file.regions, () => loadKernels({ shared: true }));
  scanner = new MirrorThreads(file.path, mirror, file.threads);
});

const listed = (found: readonly PageSet[]): number[][] => found.map((pages) => [...pages]);

/** Pages that RAM and mirror differ in, a byte at a time. */
function differences(): number[][] {
  return counts.map((count, region) =>
    Array.from({ length: count }, (_, page) => page).filter(
      (page) => Buffer.compare(file.page(region, page), mirror.page(region, page)) !== 0,
    ),
  );
}

async function writeSome(random: Random, round: number): Promise<void> {
  for (let count = random.below(60); count > 0; count--) {
    const region = random.below(2);
    const page = file.page(region, random.below(counts[region]!));
    if (random.below(4) === 0) page.fill(0);
    else page[random.pick([0, PAGE - 1, random.below(PAGE)])] = round + 1;
  }
  await file.write();
}

describe('a mirror that threads share', () => {
  it('is told from RAM exactly, and becomes equal to it', async () => {
    const random = new Random(seedOfRun());
    for (let round = 0; round < 12; round++) {
      await writeSome(random, round);
      const expected = differences();
      const differing = file.sets();
      await scanner.compare(differing);
      expect(listed(differing)).toEqual(expected);
      // It only looked.
      expect(differences()).toEqual(expected);
      if (random.below(3) === 0) continue;
      const taken = file.sets();
      taken[1]!.add(5);
      await scanner.take(taken);
      expect(taken[1]!.has(5)).toBe(true);
      if (!expected[1]!.includes(5)) taken[1]!.delete(5);
      expect(listed(taken)).toEqual(expected);
      for (const [region, count] of counts.entries()) {
        for (let page = 0; page < count; page++)
          expectSame(mirror.page(region, page).slice(), file.page(region, page));
      }
    }
  });

  it('knows what this thread wrote into it, chunks that were zeros among them', async () => {
    await file.write();
    mirror.write(1, 200, new Uint8Array(PAGE).fill(7));
    const differing = file.sets();
    await scanner.compare(differing);
    expect(listed(differing)).toEqual([[], [200]]);
    expect([...mirror.nonZeroPages(1)]).toEqual([200]);
    await scanner.take(file.sets());
    expect([...mirror.nonZeroPages(1)]).toEqual([]);
  });

  it('is compared again after its threads were let go', async () => {
    file.ram.fill(3);
    await file.write();
    await scanner.take(file.sets());
    scanner.close();
    file.threads.endIdle();
    file.page(0, 9).fill(4);
    await file.write();
    const differing = file.sets();
    await scanner.compare(differing);
    expect(listed(differing)).toEqual([[9], []]);
  });

  it('is not believed where the file cannot be read', async () => {
    expect(await codeOf(() => scanner.compare(file.sets()))).toBe('guest-failed');
    await file.write();
    await file.cut(PAGE);
    expect(await codeOf(() => scanner.take(file.sets()))).toBe('guest-failed');
  });
});

// Threads that compare RAM with its mirror: they find what differs, and take it, as this thread would alone.

import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MirrorThreads } from '../../src/host/pages/mirror-threads.ts';
import { ThreadPool } from '../../src/host/pages/thread-pool.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import type { Region } from '../../src/memory/region.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import { Mirror } from '../../src/tracking/mirror.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGE = 4096;
/** The second region begins in the middle of a chunk, and ends in the middle of one. */
const COUNTS = [77, 333] as const;

const ram = new Uint8Array((COUNTS[0] + COUNTS[1]) * PAGE);
const regions: readonly Region[] = COUNTS.map((count, id) => ({
  id,
  name: `ram-${id}`,
  kind: 'ram',
  guestAddress: null,
  sizeBytes: count * PAGE,
  pageBytes: PAGE,
}));

let directory: string;
let path: string;
let threads: ThreadPool;
let mirror: Mirror;
let scanner: MirrorThreads;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vitrine-mirror-'));
  path = join(directory, 'ram');
  threads = new ThreadPool(3);
  mirror = await Mirror.open(regions, () => loadKernels({ shared: true }));
  scanner = new MirrorThreads(path, mirror, threads);
  ram.fill(0);
});
afterEach(async () => {
  await threads.close();
  await rm(directory, { recursive: true, force: true });
});

const sets = (): PageSet[] => COUNTS.map((count) => new PageSet(count));
const pageOf = (region: number, page: number): Uint8Array =>
  ram.subarray((region * COUNTS[0] + page) * PAGE, (region * COUNTS[0] + page + 1) * PAGE);
const listed = (found: readonly PageSet[]): number[][] => found.map((pages) => [...pages]);

/** Pages that RAM and mirror differ in, a byte at a time. */
function differences(): number[][] {
  return COUNTS.map((count, region) =>
    Array.from({ length: count }, (_, page) => page).filter(
      (page) => Buffer.compare(pageOf(region, page), mirror.page(region, page)) !== 0,
    ),
  );
}

async function writeSome(random: Random, round: number): Promise<void> {
  for (let count = random.below(60); count > 0; count--) {
    const region = random.below(2);
    const page = pageOf(region, random.below(COUNTS[region]!));
    if (random.below(4) === 0) page.fill(0);
    else page[random.pick([0, PAGE - 1, random.below(PAGE)])] = round + 1;
  }
  await writeFile(path, ram);
}

describe('a mirror that threads share', () => {
  it('is told from RAM exactly, and becomes equal to it', async () => {
    const random = new Random(seedOfRun());
    for (let round = 0; round < 12; round++) {
      await writeSome(random, round);
      const expected = differences();
      const differing = sets();
      await scanner.compare(differing);
      expect(listed(differing)).toEqual(expected);
      // It only looked.
      expect(differences()).toEqual(expected);
      if (random.below(3) === 0) continue;
      const taken = sets();
      taken[1]!.add(5);
      await scanner.take(taken);
      expect(taken[1]!.has(5)).toBe(true);
      if (!expected[1]!.includes(5)) taken[1]!.delete(5);
      expect(listed(taken)).toEqual(expected);
      for (const [region, count] of COUNTS.entries()) {
        for (let page = 0; page < count; page++)
          expectSame(mirror.page(region, page).slice(), pageOf(region, page));
      }
    }
  });

  it('knows what this thread wrote into it, chunks that were zeros among them', async () => {
    await writeFile(path, ram);
    mirror.write(1, 200, new Uint8Array(PAGE).fill(7));
    const differing = sets();
    await scanner.compare(differing);
    expect(listed(differing)).toEqual([[], [200]]);
    expect([...mirror.nonZeroPages(1)]).toEqual([200]);
    await scanner.take(sets());
    expect([...mirror.nonZeroPages(1)]).toEqual([]);
  });

  it('is compared again after its threads were let go', async () => {
    ram.fill(3);
    await writeFile(path, ram);
    await scanner.take(sets());
    scanner.close();
    threads.endIdle();
    pageOf(0, 9).fill(4);
    await writeFile(path, ram);
    const differing = sets();
    await scanner.compare(differing);
    expect(listed(differing)).toEqual([[9], []]);
  });

  it('is not believed where the file cannot be read', async () => {
    expect(await codeOf(() => scanner.compare(sets()))).toBe('guest-failed');
    await writeFile(path, ram);
    await truncate(path, PAGE);
    expect(await codeOf(() => scanner.take(sets()))).toBe('guest-failed');
  });
});

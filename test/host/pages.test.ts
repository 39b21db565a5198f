// Threads that look at RAM: what they find, what they copy, and what becomes of work whose thread ends.

import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RamScanner } from '../../src/host/pages/ram-scanner.ts';
import { StagingFile } from '../../src/host/pages/staging-file.ts';
import { ThreadPool } from '../../src/host/pages/thread-pool.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import { pageCountOf, type Region } from '../../src/memory/region.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGE = 4096;
/** The second region begins in the middle of a word of a bitmap, and ends in the middle of a chunk. */
const COUNTS = [77, 150];

let directory: string;
let path: string;
let threads: ThreadPool;
const ram = new Uint8Array((COUNTS[0]! + COUNTS[1]!) * PAGE);
const regions: readonly Region[] = COUNTS.map((count, id) => ({
  id,
  name: `ram-${id}`,
  kind: 'ram',
  guestAddress: null,
  sizeBytes: count * PAGE,
  pageBytes: PAGE,
}));

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vitrine-pages-'));
  path = join(directory, 'ram');
  threads = new ThreadPool(3);
  ram.fill(0);
});
afterEach(async () => {
  await threads.close();
  await rm(directory, { recursive: true, force: true });
});

const sets = (): PageSet[] => regions.map((region) => new PageSet(pageCountOf(region)));
const pageOf = (region: number, page: number): Uint8Array =>
  ram.subarray((region * COUNTS[0]! + page) * PAGE, (region * COUNTS[0]! + page + 1) * PAGE);

describe('scans in threads', () => {
  it('look at some pages alone, and at those of which a copy is wanted', async () => {
    const random = new Random(seedOfRun());
    const scanner = new RamScanner(path, regions, { threads });
    await writeFile(path, ram);
    await scanner.scan(sets());
    for (let round = 0; round < 8; round++) {
      const [only, keep, expected] = [sets(), sets(), sets()];
      for (let count = random.below(12); count > 0; count--) {
        const region = random.below(2);
        const page = random.below(COUNTS[region]!);
        pageOf(region, page).set(random.bytes(16));
        (random.chance(0.7) ? only : keep)[region]!.add(page);
        expected[region]!.add(page);
      }
      await writeFile(path, ram);
      const changed = sets();
      await scanner.scan(changed, keep, only);
      expect(changed).toEqual(expected);
      for (const [region, pages] of expected.entries()) {
        for (const page of pages) expectSame(scanner.kept(region, page)!, pageOf(region, page));
      }
    }
    // What nobody asked for is not looked at, where it does not lie between two that are.
    pageOf(1, 100).set([1, 2, 3]);
    await writeFile(path, ram);
    const [only, changed] = [sets(), sets()];
    only[0]!.add(2);
    await scanner.scan(changed, undefined, only);
    expect(changed).toEqual(sets());
    await scanner.scan(changed);
    expect([...changed[1]!]).toEqual([100]);
  });

  it('find exactly the pages that changed, and copy those and the wanted ones while there is room', async () => {
    const random = new Random(seedOfRun());
    const scanner = new RamScanner(path, regions, { threads, mostKeptBytes: 60 * PAGE });
    for (let round = 0; round < 12; round++) {
      const expected = sets();
      for (let count = random.below(40); count > 0; count--) {
        const region = random.below(2);
        const page = random.below(COUNTS[region]!);
        const wasZero = pageOf(region, page).every((byte) => byte === 0);
        if (random.below(4) === 0) {
          pageOf(region, page).fill(0);
          if (!wasZero) expected[region]!.add(page);
        } else {
          // Never what it was: the round is in it.
          pageOf(region, page).fill(round + 1, random.below(PAGE));
          pageOf(region, page)[PAGE - 1] = 100 + round;
          expected[region]!.add(page);
        }
      }
      await writeFile(path, ram);
      const wanted = sets();
      wanted[1]!.add(3);
      const changed = sets();
      await scanner.scan(changed, wanted);
      let copies = 0;
      for (const { id } of regions) {
        // A page that was written and then zeroed in one round may be what it was.
        for (const page of changed[id]!) expect(expected[id]!.has(page)).toBe(true);
        for (const page of expected[id]!) {
          const isSame = !changed[id]!.has(page);
          if (isSame) expect(pageOf(id, page).every((byte) => byte === 0)).toBe(true);
        }
        for (let page = 0; page < COUNTS[id]!; page++) {
          const isZero = pageOf(id, page).every((byte) => byte === 0);
          expect(scanner.isZero(id, page)).toBe(isZero);
          const kept = scanner.kept(id, page);
          if (kept !== undefined) expectSame(kept, pageOf(id, page));
          const isTold = changed[id]!.has(page) || (id === 1 && page === 3);
          expect(kept !== undefined).toBe(isTold && !isZero);
          if (kept !== undefined) copies++;
        }
      }
      expect(copies).toBeLessThanOrEqual(60);
    }
  });

  it('copy no more than there is room for', async () => {
    const scanner = new RamScanner(path, regions, { threads, mostKeptBytes: 5 * PAGE });
    ram.fill(9);
    await writeFile(path, ram);
    const changed = sets();
    await scanner.scan(changed, sets());
    expect(changed.map(({ size }) => size)).toEqual(COUNTS);
    const copies = regions.flatMap(({ id }) =>
      Array.from({ length: COUNTS[id]! }, (_, page) => scanner.kept(id, page)).filter((kept) => kept),
    );
    expect(copies).toHaveLength(5);
  });

  it('say when the file is gone or became shorter', async () => {
    const scanner = new RamScanner(path, regions, { threads });
    expect(await codeOf(() => scanner.scan(sets()))).toBe('guest-failed');
    await writeFile(path, ram);
    await scanner.scan(sets());
    await truncate(path, 10 * PAGE);
    expect(await codeOf(() => scanner.scan(sets()))).toBe('guest-failed');
  });

  it('fail when their threads are ended', async () => {
    await writeFile(path, ram);
    const scanner = new RamScanner(path, regions, { threads });
    const scanning = scanner.scan(sets());
    await threads.close();
    expect(await codeOf(() => scanning)).toBe('worker-lost');
    expect(await codeOf(() => scanner.scan(sets()))).toBe('worker-lost');
  });
});

describe('a staging file', () => {
  it('gives back what was put in, leaves no name, and can be used again', async () => {
    const staging = new StagingFile(directory, regions);
    const into = new Uint8Array(PAGE);
    for (let round = 1; round <= 2; round++) {
      staging.write(1, 149, new Uint8Array(PAGE).fill(round));
      staging.write(0, 0, new Uint8Array(PAGE).fill(7));
      expect(await readdir(directory)).toEqual([]);
      staging.read(1, 149, into);
      expectSame(into, new Uint8Array(PAGE).fill(round));
      staging.read(0, 0, into);
      expectSame(into, new Uint8Array(PAGE).fill(7));
      staging.clear();
    }
  });
});

// Threads that look at RAM: what they find, what they copy, and what becomes of work whose thread ends.

import { readdir, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { RamScanner } from '../../src/host/pages/ram-scanner.ts';
import { StagingFile } from '../../src/host/pages/staging-file.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import { PAGE, RamFile } from '../support/ram-file.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

/** The second region begins in the middle of a word of a bitmap, and ends in the middle of a chunk. */
const file = new RamFile([77, 150]);
const { counts, ram, regions } = file;

describe('scans in threads', () => {
  it('look at some pages alone, and at those of which a copy is wanted', async () => {
    const random = new Random(seedOfRun());
    const scanner = new RamScanner(file.path, regions, { threads: file.threads });
    await file.write();
    await scanner.scan(file.sets());
    for (let round = 0; round < 8; round++) {
      const [only, keep, expected] = [file.sets(), file.sets(), file.sets()];
      for (let count = random.below(12); count > 0; count--) {
        const region = random.below(2);
        const page = random.below(counts[region]!);
        file.page(region, page).set(random.bytes(16));
        (random.chance(0.7) ? only : keep)[region]!.add(page);
        expected[region]!.add(page);
      }
      await file.write();
      const changed = file.sets();
      await scanner.scan(changed, keep, only);
      expect(changed).toEqual(expected);
      for (const [region, pages] of expected.entries()) {
        for (const page of pages) expectSame(scanner.kept(region, page)!, file.page(region, page));
      }
    }
    // What nobody asked for is not looked at, where it does not lie between two that are.
    file.page(1, 100).set([1, 2, 3]);
    await file.write();
    const [only, changed] = [file.sets(), file.sets()];
    only[0]!.add(2);
    await scanner.scan(changed, undefined, only);
    expect(changed).toEqual(file.sets());
    await scanner.scan(changed);
    expect([...changed[1]!]).toEqual([100]);
  });

  it('find exactly the pages that changed, and copy those and the wanted ones while there is room', async () => {
    const random = new Random(seedOfRun());
    const scanner = new RamScanner(file.path, regions, { threads: file.threads, mostKeptBytes: 60 * PAGE });
    for (let round = 0; round < 12; round++) {
      const expected = file.sets();
      for (let count = random.below(40); count > 0; count--) {
        const region = random.below(2);
        const page = random.below(counts[region]!);
        const wasZero = file.page(region, page).every((byte) => byte === 0);
        if (random.below(4) === 0) {
          file.page(region, page).fill(0);
          if (!wasZero) expected[region]!.add(page);
        } else {
          // Never what it was: the round is in it.
          file.page(region, page).fill(round + 1, random.below(PAGE));
          file.page(region, page)[PAGE - 1] = 100 + round;
          expected[region]!.add(page);
        }
      }
      await file.write();
      const wanted = file.sets();
      wanted[1]!.add(3);
      const changed = file.sets();
      await scanner.scan(changed, wanted);
      let copies = 0;
      for (const { id } of regions) {
        // A page that was written and then zeroed in one round may be what it was.
        for (const page of changed[id]!) expect(expected[id]!.has(page)).toBe(true);
        for (const page of expected[id]!) {
          const isSame = !changed[id]!.has(page);
          if (isSame) expect(file.page(id, page).every((byte) => byte === 0)).toBe(true);
        }
        for (let page = 0; page < counts[id]!; page++) {
          const isZero = file.page(id, page).every((byte) => byte === 0);
          expect(scanner.isZero(id, page)).toBe(isZero);
          const kept = scanner.kept(id, page);
          if (kept !== undefined) expectSame(kept, file.page(id, page));
          const isTold = changed[id]!.has(page) || (id === 1 && page === 3);
          expect(kept !== undefined).toBe(isTold && !isZero);
          if (kept !== undefined) copies++;
        }
      }
      expect(copies).toBeLessThanOrEqual(60);
    }
  });

  it('sound out how much changed by looking at a part, other pages each time', async () => {
    const pageCount = 1200;
    const large = new Uint8Array(pageCount * PAGE);
    const region = { ...regions[0]!, sizeBytes: large.length };
    const scanner = new RamScanner(file.path, [region], { threads: file.threads });
    const none = () => [new PageSet(pageCount)];
    await writeFile(file.path, large);
    expect(await scanner.soundOut(none())).toBe(0);
    large.fill(5, 0, 900 * PAGE);
    await writeFile(file.path, large);
    const found = none();
    const about = await scanner.soundOut(found);
    expect(Math.abs(about - 900)).toBeLessThan(100);
    expect(found[0]!.size).toBeLessThan(20);
    const first = found[0]!.size;
    await scanner.soundOut(found);
    expect(found[0]!.size).toBeGreaterThan(2 * first - 2);
    // What was looked at is known, and nothing else.
    const rest = none();
    await scanner.scan(rest);
    expect(rest[0]!.size).toBe(900 - found[0]!.size);
    for (const page of rest[0]!) expect(found[0]!.has(page)).toBe(false);
  });

  it('copy no more than there is room for', async () => {
    const scanner = new RamScanner(file.path, regions, { threads: file.threads, mostKeptBytes: 5 * PAGE });
    ram.fill(9);
    await file.write();
    const changed = file.sets();
    await scanner.scan(changed, file.sets());
    expect(changed.map(({ size }) => size)).toEqual(counts);
    const copies = regions.flatMap(({ id }) =>
      Array.from({ length: counts[id]! }, (_, page) => scanner.kept(id, page)).filter((kept) => kept),
    );
    expect(copies).toHaveLength(5);
  });

  it('say when the file is gone or became shorter', async () => {
    const scanner = new RamScanner(file.path, regions, { threads: file.threads });
    expect(await codeOf(() => scanner.scan(file.sets()))).toBe('guest-failed');
    await file.write();
    await scanner.scan(file.sets());
    await file.cut(10 * PAGE);
    expect(await codeOf(() => scanner.scan(file.sets()))).toBe('guest-failed');
  });

  it('fail when their threads are ended', async () => {
    await file.write();
    const scanner = new RamScanner(file.path, regions, { threads: file.threads });
    const scanning = scanner.scan(file.sets());
    await file.threads.close();
    expect(await codeOf(() => scanning)).toBe('worker-lost');
    expect(await codeOf(() => scanner.scan(file.sets()))).toBe('worker-lost');
  });
});

describe('a staging file', () => {
  it('gives back what was put in, leaves no name, and can be used again', async () => {
    const staging = new StagingFile(file.directory, regions);
    const into = new Uint8Array(PAGE);
    for (let round = 1; round <= 2; round++) {
      staging.write(1, 149, new Uint8Array(PAGE).fill(round));
      staging.write(0, 0, new Uint8Array(PAGE).fill(7));
      expect(await readdir(file.directory)).toEqual([]);
      staging.read(1, 149, into);
      expectSame(into, new Uint8Array(PAGE).fill(round));
      staging.read(0, 0, into);
      expectSame(into, new Uint8Array(PAGE).fill(7));
      staging.clear();
    }
  });
});

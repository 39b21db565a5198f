// The file store on a disk that fails. One piece of work — objects put, refs moved to them, one deleted — is done with
// a fault at its n-th file operation, for every n. What must hold after: an object is whole or absent, the ref
// names the last one that was reported or the one that was under way, and what a ref names is there.

import { describe, expect, it } from 'vitest';
import { openFsStore } from '../../src/store/fs-store.ts';
import type { Store } from '../../src/store/store.ts';
import { Random } from '../../src/testing/random.ts';
import { CrashDisk, type FilePlan, numberOf, wholeObject } from '../support/crash-files.ts';
import { seedOfRun } from '../support/seed.ts';

const DIRECTORY = '/data/store';
const REF = 'refs/snapshots/head';
const STEPS = 4;

/** What the work has been told. */
interface Told {
  /** The last number that `compareAndSwap` reported, 0 before. */
  moved: number;
  /** The number that the ref may hold although it was not reported. */
  under: number;
}

/** All processes of the test are of one boot, and those of an earlier life are gone. */
function processes(life: string) {
  let count = 0;
  return { nameSelf: () => `${life}.${count++}`, isGone: (name: string) => !name.startsWith(`${life}.`) };
}

function openOn(disk: CrashDisk, random: Random, life: string, plan?: FilePlan) {
  const { files, count } = disk.files(random, plan);
  const opening = openFsStore(DIRECTORY, {
    files,
    processes: processes(life),
    lockTimeoutMs: 0,
    clock: { wallMs: () => 0 },
  });
  return { opening, count };
}

async function work(store: Store, told: Told): Promise<void> {
  for (let number = told.moved + 1; number <= STEPS; number++) {
    await Promise.all([
      store.put(`packs/${number}`, wholeObject(number)),
      store.put(`index/deep/${number}`, wholeObject(number + 100)),
    ]);
    told.under = number;
    await store.compareAndSwap(REF, told.moved === 0 ? null : wholeObject(told.moved), wholeObject(number));
    told.moved = number;
    if (number === 3) await store.delete(['packs/1', 'index/deep/1']);
  }
}

/** What is wrong with the store, or undefined. Returns where the ref is by `told`. */
async function faultIn(store: Store, told: Told): Promise<string | undefined> {
  for (const key of await store.list('')) {
    const bytes = await store.get(key);
    const number = bytes === undefined ? undefined : numberOf(bytes);
    const named = Number(key.slice(key.lastIndexOf('/') + 1));
    if (number === undefined) return `${key} is not whole`;
    if (key.startsWith('packs/') && number !== named) return `${key} holds ${number}`;
  }
  const held = await store.get(REF);
  const number = held === undefined ? 0 : numberOf(held)!;
  if (number !== told.moved && number !== told.under) return `the ref is at ${number}, told ${told.moved}`;
  if (number > 0 && (await store.get(`packs/${number}`)) === undefined) return `packs/${number} is lost`;
  if (number > 0 && (await store.get(`index/deep/${number}`)) === undefined)
    return `index/deep/${number} is lost`;
  told.moved = number;
  return undefined;
}

const seed = seedOfRun();

describe('fs store on a disk that fails', () => {
  it('loses nothing that was reported when the power is cut at any operation', async () => {
    let points = 0;
    for (let round = 0; round < 6; round++) {
      for (let at = 0; ; at++) {
        const random = new Random(seed * 1000 + round);
        const told = { moved: 0, under: 0 };
        const disk = new CrashDisk();
        const first = openOn(disk, random, 'first', { at, fault: 'cut' });
        const ended = await first.opening
          .then((store) => work(store, told))
          .then(
            () => true,
            () => false,
          );
        disk.cutPower(random);
        const second = await openOn(disk, random, 'second').opening;
        expect(`SEED=${seed} ${round}.${at} ${await faultIn(second, told)}`).toBe(
          `SEED=${seed} ${round}.${at} undefined`,
        );
        await work(second, told);
        expect(told.moved).toBe(STEPS);
        if (ended && first.count() <= at) break;
        points++;
      }
    }
    // Every operation was met: some 60 in a round.
    expect(points).toBeGreaterThan(300);
  });

  it('loses nothing when the process dies at any operation, and follows its lock', async () => {
    for (let at = 0; ; at++) {
      const random = new Random(seed);
      const told = { moved: 0, under: 0 };
      const disk = new CrashDisk();
      const first = openOn(disk, random, 'first', { at, fault: 'cut' });
      const ended = await first.opening
        .then((store) => work(store, told))
        .then(
          () => true,
          () => false,
        );
      const second = await openOn(disk, random, 'second').opening;
      expect(`${at} ${await faultIn(second, told)}`).toBe(`${at} undefined`);
      await work(second, told);
      if (ended && first.count() <= at) break;
    }
  });

  for (const fault of ['EIO', 'ENOSPC', 'EDQUOT', 'EMFILE', 'EROFS'] as const) {
    it(`tells ${fault} at any operation with a code, and goes on`, async () => {
      const code = fault === 'ENOSPC' || fault === 'EDQUOT' ? 'store-full' : 'store-io';
      for (let at = 0; ; at++) {
        const random = new Random(seed);
        const told = { moved: 0, under: 0 };
        const disk = new CrashDisk();
        const first = openOn(disk, random, 'first', { at, fault });
        const store = await first.opening.catch((error) => {
          expect(`${at} ${error.code}`).toBe(`${at} ${code}`);
          return undefined;
        });
        if (store === undefined) continue;
        const error = await work(store, told).then(
          () => undefined,
          (reason) => reason,
        );
        if (first.count() <= at) break;
        // A fault that nobody is told of met the release of a lock or the removal of rubbish.
        if (error !== undefined) expect(`${at} ${error.code}`).toBe(`${at} ${code}`);
        expect(`${at} ${await faultIn(store, told)}`).toBe(`${at} undefined`);
        // The same store goes on, but after a failed sync of a directory, when it may not say that anything is safe.
        const again = await work(store, told).then(
          () => 'done',
          (reason) => reason.code,
        );
        const other = await openOn(disk, random, again === 'done' ? 'first' : 'second').opening;
        expect(`${at} ${await faultIn(other, told)}`).toBe(`${at} undefined`);
        if (again !== 'done') expect(`${at} ${again}`).toBe(`${at} ${code}`);
        await work(other, told);
        expect(told.moved).toBe(STEPS);
      }
    });
  }

  it('keeps objects that one process put and another one builds on', async () => {
    for (let round = 0; round < 50; round++) {
      const random = new Random(seed + round);
      const disk = new CrashDisk();
      const writer = await openOn(disk, random, 'one').opening;
      await writer.put('packs/deep/1', wholeObject(1));
      await writer.put('index/1', wholeObject(1));
      const builder = await openOn(disk, random, 'one').opening;
      await builder.list('index/');
      await builder.get('packs/deep/1');
      await builder.compareAndSwap(REF, null, wholeObject(1));
      disk.cutPower(random);
      const keys = await (await openOn(disk, random, 'two').opening).list('');
      expect(`SEED=${seed} ${round} ${keys}`).toBe(`SEED=${seed} ${round} index/1,packs/deep/1,${REF}`);
    }
  });

  it('moves no ref after a directory could not be synced, until it is opened again', async () => {
    const random = new Random(seed);
    const disk = new CrashDisk();
    const { files } = disk.files(random);
    let failures = 1;
    const failing = {
      ...files,
      syncDirectory: async (path: string) => {
        if (path.endsWith('/packs') && failures-- > 0) throw Object.assign(new Error('EIO'), { code: 'EIO' });
        return files.syncDirectory(path);
      },
    };
    const store = await openFsStore(DIRECTORY, { files: failing, processes: processes('first') });
    await store.put('packs/1', wholeObject(1));
    for (let i = 0; i < 2; i++) {
      await expect(store.compareAndSwap(REF, null, wholeObject(1))).rejects.toMatchObject({
        code: 'store-io',
      });
    }
    expect(await store.get(REF)).toBe(undefined);
  });
});

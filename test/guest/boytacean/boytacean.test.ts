// A Game Boy as a guest: the suite of all guests, its keys and picture, and its past at a point a frame.

import { describe, expect, it } from 'vitest';
import { MIB } from '../../../src/base/limits.ts';
import { loadCodecs } from '../../../src/codec/load.ts';
import { type BoytaceanGuest, openBoytacean, PICTURE } from '../../../src/guest/boytacean/boytacean.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { openRewind, type RewindOptions } from '../../../src/rewind/open-rewind.ts';
import type { Rewind } from '../../../src/rewind/rewind.ts';
import type { PointId } from '../../../src/rewind/timeline.ts';
import { guestConformance } from '../../../src/testing/guest-conformance.ts';
import { Random } from '../../../src/testing/random.ts';
import { openScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { cartridge } from '../../instrument/game-boy.ts';
import { copyOf, expectSameCopy, type FullCopy } from '../../rewind/rewind-subject.ts';
import { boytaceanModule, loadBoytacean } from '../../support/boytacean-loader.ts';
import { seedOfRun } from '../../support/seed.ts';

const module = boytaceanModule();

async function openGame(tracking?: 'none' | 'marks' | 'barrier'): Promise<BoytaceanGuest> {
  const loader = await loadBoytacean();
  const maxMemoryBytes = 4 * MIB;
  return openBoytacean({
    loader,
    module,
    rom: cartridge(),
    maxMemoryBytes,
    ...(tracking === undefined ? {} : { tracking }),
  });
}

/** So many frames with keys of a seed; what can be seen of them. */
function play(game: BoytaceanGuest, frames: number, random: Random): string {
  const keys = ['up', 'a', 'start'] as const;
  for (let frame = 0; frame < frames; frame++) {
    const key = keys[random.below(keys.length)]!;
    if (random.below(2) === 0) game.press(key);
    else game.lift(key);
    expect(game.frame()).toBe(true);
  }
  return Buffer.from(game.picture).toString('base64');
}

async function putBack(game: BoytaceanGuest, { memory, devices }: FullCopy): Promise<void> {
  await game.pause();
  game.writePages({ region: 0, offsetBytes: 0, lengthBytes: memory[0]!.length }, memory[0]!);
  game.loadDevices(devices);
  await game.resume();
}

for (const tracking of ['marks', 'barrier'] as const) {
  guestConformance(
    `Game Boy with tracking ${tracking}`,
    async () => {
      const guest = await openGame(tracking);
      // The first frames show nothing.
      play(guest, 3, new Random(1));
      return { guest, run: async () => play(guest, 4, new Random(2)) };
    },
    { describe, expect, it },
  );
}

describe('a Game Boy', () => {
  it('shows a picture, the one of its instant after a restore too', async () => {
    const game = await openGame();
    play(game, 20, new Random(1));
    expect(game.picture.length).toBe(PICTURE.width * PICTURE.height * 3);
    expect(new Set(game.picture).size).toBeGreaterThan(1);
    const before = game.picture.slice();
    const copy = await copyOf(game);
    play(game, 20, new Random(2));
    expect(Buffer.compare(game.picture, before)).not.toBe(0);
    await putBack(game, copy);
    expect(Buffer.compare(game.picture, before)).toBe(0);
  });

  it('runs no frame while it rests', async () => {
    const game = await openGame();
    const before = await copyOf(game);
    await game.pause();
    expect(game.frame()).toBe(false);
    await game.resume();
    expectSameCopy(await copyOf(game), before);
    expect(game.frame()).toBe(true);
  });

  it('lets a key go that was held at the point gone back to, and is not held now', async () => {
    const game = await openGame();
    play(game, 5, new Random(1));
    game.press('a');
    game.frame();
    const held = await copyOf(game);
    game.lift('a');
    game.frame();
    const letGo = await copyOf(game);
    game.frame();
    await putBack(game, held);
    game.frame();
    expectSameCopy(await copyOf(game), letGo);
    // And one that is held still is not pressed again.
    game.press('a');
    await putBack(game, held);
    game.frame();
    const still = await copyOf(game);
    await putBack(game, held);
    game.frame();
    expectSameCopy(await copyOf(game), still);
    expect(Buffer.compare(still.memory[0]!, letGo.memory[0]!)).not.toBe(0);
  });

  it('refuses what is no cartridge, and a second console in one copy of the loader', async () => {
    const loader = await loadBoytacean();
    await expect(openBoytacean({ loader, module, rom: new Uint8Array(3) })).rejects.toMatchObject({
      code: 'argument-invalid',
    });
    await expect(openBoytacean({ loader, module, rom: cartridge() })).rejects.toMatchObject({
      code: 'unsupported',
    });
  });
});

describe('a Game Boy with a point a frame', () => {
  /** Two minutes of frames would be 7,200: this many, with room for an eighth of them, so that thinning is at work as it would be. */
  const FRAMES = 600;
  const OPTIONS: Partial<RewindOptions> = { maxPoints: 75 };

  async function record(options: Partial<RewindOptions> = {}) {
    const game = await openGame();
    const tracker = await openScanTracker(game, { openKernels: () => loadKernels() });
    const rewind = await openRewind(tracker, { codecs: await loadCodecs(), ...options });
    return { game, tracker, rewind };
  }

  const headOf = (rewind: Rewind): PointId => rewind.points().find(({ isHead }) => isHead)!.id;

  it('takes every frame, looking at the pages that the frame marked alone', async () => {
    const { game, tracker, rewind } = await record();
    const random = new Random(seedOfRun());
    const scanned: number[] = [];
    for (let frame = 0; frame < FRAMES; frame++) {
      play(game, 1, random);
      expect(await rewind.epoch()).toBe('taken');
      scanned.push(rewind.stats().lastPagesScanned);
    }
    const { epochs, points, usedBytes } = rewind.stats();
    expect(epochs).toMatchObject({ taken: FRAMES, skippedBusy: 0, skippedBehind: 0 });
    expect(points).toBe(FRAMES + 1);
    // Three scans prove the marks; after them an epoch looks at few of the memory's 1,024 pages.
    expect((await tracker.describe()).tier).toBe('marks');
    expect(scanned.slice(0, 3)).toEqual([1024, 1024, 1024]);
    expect(Math.max(...scanned.slice(3))).toBeLessThan(80);
    // A minute of frames in some megabytes.
    expect((usedBytes / FRAMES) * 3600).toBeLessThan(16 * MIB);
    await tracker.close();
  });

  it('goes back to any of its points exactly, thinned ones too, and on from there as before', async () => {
    const seed = seedOfRun();
    const { game, tracker, rewind } = await record(OPTIONS);
    const copies = new Map<PointId, FullCopy>();
    const random = new Random(seed);
    for (let frame = 0; frame < FRAMES; frame++) {
      play(game, 1, random);
      await rewind.epoch();
      if (frame % 7 === 0 || frame > FRAMES - 4) copies.set(headOf(rewind), await copyOf(game));
    }
    const { merged, points } = rewind.stats();
    expect(merged).toBeGreaterThan(FRAMES / 2);
    expect(points).toBe(75);
    const kept = rewind.points().filter(({ id }) => copies.has(id));
    expect(kept.length).toBeGreaterThan(5);
    for (const { id } of [...kept].sort(() => (random.below(2) === 0 ? 1 : -1))) {
      await rewind.seek(id);
      expectSameCopy(await copyOf(game), copies.get(id)!);
    }
    // On from one of them, twice, with the same keys: the same frames.
    const from = kept[Math.floor(kept.length / 2)]!.id;
    const futures: FullCopy[] = [];
    for (let run = 0; run < 2; run++) {
      await rewind.seek(from);
      await rewind.resume();
      play(game, 30, new Random(seed));
      futures.push(await copyOf(game));
      await rewind.epoch();
    }
    expectSameCopy(futures[0]!, futures[1]!);
    await tracker.close();
  });

  it('runs backwards, a frame at a time', async () => {
    const { game, tracker, rewind } = await record();
    const pictures: Buffer[] = [];
    for (let frame = 0; frame < 60; frame++) {
      play(game, 1, new Random(frame));
      await rewind.epoch();
      pictures.push(Buffer.from(game.picture));
    }
    const ids = rewind.points().map(({ id }) => id);
    for (let frame = 58; frame >= 0; frame--) {
      const { pagesWritten } = await rewind.seek(ids[frame + 1]!);
      expect(pagesWritten).toBeLessThan(80);
      expect(Buffer.compare(game.picture, pictures[frame]!)).toBe(0);
    }
    await tracker.close();
  });
});

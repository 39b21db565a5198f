// A history against the naive one that keeps a full copy a point, through random runs, seeks, branches, bookmarks, saves and
// restores, in budgets from roomy to hardly any.

import { describe, expect, it } from 'vitest';
import { isVitrineError } from '../../src/base/error.ts';
import type { PointId } from '../../src/rewind/timeline.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';
import { copyOf, expectSameCopy, type FullCopy, openFlatRewind } from './rewind-subject.ts';

const STEPS = 120;

const CASES = [
  { budgetKiB: 64, maxPoints: 2048, tracking: 'marks' },
  { budgetKiB: 96, maxPoints: 2048, tracking: 'none' },
  { budgetKiB: 256, maxPoints: 2048, tracking: 'marks' },
  { budgetKiB: 4096, maxPoints: 2048, tracking: 'marks' },
  { budgetKiB: 4096, maxPoints: 12, tracking: 'none' },
] as const;

describe.each(CASES)('$budgetKiB KiB for $maxPoints points, tracking $tracking:', (settings) => {
  it.each([0, 1])('any point is what it was (seed + %i)', async (offset) => {
    const random = new Random(seedOfRun() + offset);
    const { maxPoints, tracking, budgetKiB } = settings;
    const budgetBytes = budgetKiB * 1024;
    const { guest, tracker, rewind, head } = await openFlatRewind({
      ...{ budgetBytes, maxPoints, tracking, seed: random.u32(), whenFull: 'forget' },
    });
    const copies = new Map<PointId, FullCopy>([[head().id, await copyOf(guest)]]);
    const bookmarks = new Map<PointId, string>();
    /** Every point is known, or is the present one. */
    const learn = async (present: FullCopy) => {
      for (const { id } of rewind.points({ branches: true })) {
        if (!copies.has(id)) copies.set(id, present);
      }
      const known = new Set(rewind.points({ branches: true }).map(({ id }) => id));
      for (const id of copies.keys()) if (!known.has(id)) copies.delete(id);
    };
    for (let step = 0; step < STEPS; step++) {
      const act = random.below(16);
      if (rewind.state === 'recording') guest.run(random.pick([0, 3, 40, 400]));
      const present = await copyOf(guest);
      if (act < 8) {
        await rewind.epoch();
      } else if (act < 11) {
        const { id } = random.pick(rewind.points({ branches: true }));
        const target = copies.get(id)!;
        try {
          await rewind.seek(id);
          expect(rewind.state).toBe('scrubbing');
          expectSameCopy(await copyOf(guest), target);
          expect(head().id).toBe(id);
        } catch (error) {
          // The present was larger than all there is room for.
          if (!isVitrineError(error, 'not-found')) throw error;
          expectSameCopy(await copyOf(guest), present);
        }
      } else if (act === 11) await rewind.resume();
      else if (act === 12) {
        const { id } = random.pick(rewind.points({ branches: true }));
        try {
          await rewind.bookmark(id, `mark ${step}`);
          bookmarks.set(id, `mark ${step}`);
        } catch (error) {
          if (!isVitrineError(error, 'rewind-full')) throw error;
        }
      } else if (act === 13 && bookmarks.size > 0) {
        const id = random.pick([...bookmarks.keys()]);
        bookmarks.delete(id);
        await rewind.forget(id);
      } else if (act === 14) {
        await tracker.capture({ full: false });
        await (random.chance(0.5) ? tracker.commit() : tracker.putBack());
        // Its point comes with the next job.
        if (rewind.state === 'recording') await rewind.resume();
      } else if (act === 15) {
        await tracker.beginRestore({ full: false });
        await tracker.stageZeros(0, Uint32Array.of(random.below(32)));
        await (random.chance(0.7) ? tracker.applyRestore(present.devices) : tracker.abandonRestore());
      }
      await learn(present);
      const stats = rewind.stats();
      expect(stats.usedBytes).toBeLessThanOrEqual(budgetBytes);
      expect(stats.points).toBeLessThanOrEqual(maxPoints);
      const points = rewind.points({ branches: true });
      expect(points.length).toBe(stats.points);
      if (stats.bookmarksForgotten === 0) {
        const labelled = points.filter(({ label }) => label !== null);
        expect(new Map(labelled.map(({ id, label }) => [id, label]))).toEqual(bookmarks);
      } else
        for (const id of bookmarks.keys()) if (!points.some((one) => one.id === id)) bookmarks.delete(id);
      for (const { id, label } of points) if (label === null) bookmarks.delete(id);
      const line = rewind.points();
      expect(line.every((point) => point.onTimeline)).toBe(true);
      expect(line.every(({ atMs }, index) => index === 0 || atMs >= line[index - 1]!.atMs)).toBe(true);
      expect(stats.oldest.id).toBe(line[0]!.id);
    }
    // All that is said to be reachable is.
    for (const { id } of rewind.points({ branches: true })) {
      if (rewind.points({ branches: true }).every((point) => point.id !== id)) continue;
      const present = await copyOf(guest);
      await rewind.seek(id);
      expectSameCopy(await copyOf(guest), copies.get(id)!);
      await learn(present);
    }
    await rewind.stop();
    guest.run(10);
  });
});

// Whole emulators, instrumented: what they compute is the same, a full compare finds no changed page without a mark, and each
// page was copied aside before it changed.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  armBarrier,
  clearMarks,
  disarmBarrier,
  guestBytesOf,
  isDamaged,
  type MapLayout,
  marksIn,
} from '../../src/instrument/index.ts';
import { until } from '../guest/v86/machines.ts';
import { changedPages } from './changed-pages.ts';
import { openDosBox } from './dos-box.ts';
import { openGameBoy } from './game-boy.ts';

/** How a barrier is armed: an instance's own, or by the guest's memory, which sees what its loader writes too. */
interface Watched {
  readonly arm?: (beforeWrite: (page: number) => void) => void;
  readonly memory: WebAssembly.Memory;
  readonly exports: WebAssembly.Exports;
  readonly map: MapLayout;
}

function imageOf({ memory, map }: Watched): Uint8Array {
  return new Uint8Array(memory.buffer, 0, guestBytesOf(memory.buffer, map)).slice();
}

/** Runs `work` and holds the marks against a compare of all memory. How many pages changed, and were marked. */
async function marksWindow(watched: Watched, work: () => void | Promise<void>) {
  const { memory, map } = watched;
  const before = imageOf(watched);
  clearMarks(memory.buffer, map);
  await work();
  const after = imageOf(watched);
  const marks = marksIn(memory.buffer, map);
  expect(isDamaged(memory.buffer, map)).toBe(false);
  const changed = changedPages(before, after, map.pageBytes);
  expect(changed.filter((page) => marks[page] !== 1)).toEqual([]);
  return { changed: changed.length, marked: marks.reduce((sum, mark) => sum + mark, 0) };
}

/** Arms, runs `work`, and rebuilds what memory was from what was copied aside. How many pages that were. */
async function barrierWindow(watched: Watched, work: () => void | Promise<void>) {
  const { memory, exports, map } = watched;
  const truth = imageOf(watched);
  const aside = new Map<number, Uint8Array>();
  const keep = (page: number): void => {
    aside.set(page, new Uint8Array(memory.buffer, page * map.pageBytes, map.pageBytes).slice());
  };
  if (watched.arm === undefined) armBarrier(exports, memory, map, keep);
  else watched.arm(keep);
  await work();
  disarmBarrier(exports);
  const rebuilt = imageOf(watched).subarray(0, truth.length);
  for (const [page, bytes] of aside) {
    if (page * map.pageBytes < rebuilt.length) rebuilt.set(bytes, page * map.pageBytes);
  }
  expect(changedPages(truth, rebuilt, map.pageBytes)).toEqual([]);
  return aside.size;
}

describe('a Game Boy', () => {
  // It keeps the time at which it was made.
  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'performance'], now: 1_000_000 }));
  afterEach(() => void vi.useRealTimers());

  it('shows the same pictures and holds the same memory, with marks and barriers', async () => {
    const plain = await openGameBoy('plain');
    const marks = await openGameBoy('marks', 'marks');
    const barriers = await openGameBoy('barriers', 'barriers');
    const watched = ({ memory, exports, instrumented }: typeof marks): Watched => ({
      memory,
      exports,
      map: instrumented!.map,
    });
    let [changed, marked, copied] = [0, 0, 0];
    for (let window = 0; window < 12; window++) {
      const frames = 1 + window * 5;
      const picture = Buffer.from(plain.frames(frames));
      const result = await marksWindow(watched(marks), () => {
        expect(picture.equals(marks.frames(frames))).toBe(true);
      });
      copied += await barrierWindow(watched(barriers), () => {
        expect(picture.equals(barriers.frames(frames))).toBe(true);
      });
      changed += result.changed;
      marked += result.marked;
      for (const other of [marks, barriers]) {
        expect(Buffer.compare(imageOf(watched(other)), new Uint8Array(plain.memory.buffer))).toBe(0);
      }
    }
    // Used here, so that none is collected before.
    expect([plain, marks, barriers].every(({ loaded }) => loaded !== undefined)).toBe(true);
    expect(changed).toBeGreaterThan(100);
    expect(copied).toBeGreaterThan(100);
    expect(marked).toBeLessThan(changed * 4);
    if (process.env.VERBOSE) console.log({ changed, marked, copied });
  });
});

describe('DOSBox', () => {
  it.each(['marks', 'barrier'] as const)(
    'has %s that miss nothing while its program runs',
    async (tracking) => {
      const { caught, memory, commands, loops } = await openDosBox(tracking);
      const { exports } = caught.instance;
      const marked = caught.marked!;
      const arm = (keep: (page: number) => void) => marked.arm(keep);
      const watched: Watched = { memory, exports, map: marked.layout, arm };
      const work = async (): Promise<void> => {
        const goal = loops() + 2_000;
        await until(() => loops() >= goal, `loop ${goal}`, 60_000);
      };
      await work();
      let total = 0;
      for (let window = 0; window < 5; window++) {
        if (tracking === 'marks') {
          const result = await marksWindow(watched, work);
          if (process.env.VERBOSE) console.log(result);
          total += result.changed;
        } else {
          const copied = await barrierWindow(watched, work);
          if (process.env.VERBOSE) console.log({ copied });
          total += copied;
        }
      }
      expect(total).toBeGreaterThan(20);
      await commands.exit();
    },
  );
});

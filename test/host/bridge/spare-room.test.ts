// Room for new machines beside those that run: those of a whole class are restored at once.

import { expect, it } from 'vitest';
import { nextTask } from '../../../src/base/pacing.ts';
import { SpareRoom } from '../../../src/host/bridge/spare-room.ts';

const WHOLE = 10;

it('is given to no two of those who ask at once, and again when it is given back', async () => {
  const room = new SpareRoom();
  const ask = (bytes: number) =>
    room.take(bytes, async (takenBytes) => {
      // To look takes time, in which others ask.
      await nextTask();
      return takenBytes + bytes <= WHOLE;
    });
  expect(await Promise.all([ask(4), ask(4), ask(4), ask(2), ask(1)])).toEqual([
    true,
    true,
    false,
    true,
    false,
  ]);
  room.giveBack(4);
  expect(await Promise.all([ask(3), ask(2), ask(1)])).toEqual([true, false, true]);
});

it('is not taken by one who could not look, and those behind are asked all the same', async () => {
  const room = new SpareRoom();
  const failing = room.take(WHOLE, () => Promise.reject(new Error('no such folder')));
  const next = room.take(WHOLE, async (takenBytes) => takenBytes === 0);
  await expect(failing).rejects.toThrow('no such folder');
  expect(await next).toBe(true);
});

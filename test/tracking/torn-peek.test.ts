// Bytes of a guest that runs on: read beside it where that is possible and was allowed, and at rest everywhere else.

import { expect, it } from 'vitest';
import type { GuestTraits } from '../../src/guest/guest.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { openTestEngine } from '../support/engine.ts';
import { adoptFiled, type FiledGuest } from '../support/filed-guest.ts';

const RANGES = [
  { address: 4096, lengthBytes: 16 },
  { address: 0, lengthBytes: 8 },
];

async function open() {
  const filed = await adoptFiled(await openTestEngine(openMemoryStore()), 'filed', 8, {
    keptPages: 8,
    fewPages: 0,
  });
  let pauses = 0;
  const pause = filed.guest.pause.bind(filed.guest);
  filed.guest.pause = () => {
    pauses++;
    return pause();
  };
  filed.memory.fill(1, 0, 4096);
  filed.memory.fill(2, 4096);
  const expected = [new Uint8Array(16).fill(2), new Uint8Array(8).fill(1)];
  return { ...filed, expected, pauses: () => pauses };
}

function withTraits(guest: FiledGuest, traits: Partial<GuestTraits>): void {
  const own = guest.traits;
  Object.defineProperty(guest, 'traits', { get: () => ({ ...own, ...traits }) });
}

it('is not stopped for bytes of different instants, which go where they are wanted', async () => {
  const { machine, expected, pauses, remove } = await open();
  const made: number[] = [];
  const allocate = (lengthBytes: number) => {
    made.push(lengthBytes);
    return new Uint8Array(lengthBytes);
  };
  const peeked = await machine.peek(RANGES, { consistency: 'torn', allocate });
  expect(peeked).toEqual({ bytes: expected, pauseMs: 0, consistency: 'torn' });
  expect([pauses(), made]).toEqual([0, [16, 8]]);
  expect((await machine.peek(RANGES)).consistency).toBe('instant');
  expect(pauses()).toBe(1);
  await remove();
});

it('rests where nobody sees its memory while it runs, or only what it was', async () => {
  const stale = await open();
  withTraits(stale.guest, { tornIsNow: false });
  const blind = await open();
  Object.assign(blind.guest, { readTorn: undefined });
  for (const { machine, expected, pauses, remove } of [stale, blind]) {
    const { bytes, consistency } = await machine.peek(RANGES, { consistency: 'torn' });
    expect([bytes, consistency, pauses()]).toEqual([expected, 'instant', 1]);
    await remove();
  }
});

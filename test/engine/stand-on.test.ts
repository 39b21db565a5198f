// A guest that was made of a snapshot is told from it without reading it.

import { expect, it } from 'vitest';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';

const PAGES = 64;

it('saves what the guest changed since, and that is exact', async () => {
  const engine = await openTestEngine();
  const first = await adoptFlat(engine, 'first', PAGES);
  for (let at = 0; at < first.memory.length; at += 4096) first.memory[at] = 1 + (at >> 12);
  const { snapshot } = await first.machine.save();
  const made = await adoptFlat(engine, 'made', PAGES);
  made.memory.set(first.memory);
  await made.machine.standOn(snapshot.id);
  expect(made.machine.base).toBe(snapshot.id);
  expect(await engine.head('made')).toBe(snapshot.id);
  made.guest.write(0, 5 * 4096, Uint8Array.of(77));
  // Back to what a guest holds that was never looked at.
  made.guest.write(0, 9 * 4096, new Uint8Array(4096));
  const saved = await made.machine.save();
  expect(saved).toMatchObject({ pagesScanned: PAGES, pagesChanged: 2, snapshot: { parent: snapshot.id } });
  await first.machine.restore(saved.snapshot.id);
  expect(Buffer.compare(first.memory, made.memory)).toBe(0);
});

it('refuses a snapshot of another machine, and stays told from what it was', async () => {
  const engine = await openTestEngine();
  const small = await adoptFlat(engine, 'small', PAGES / 2);
  const { snapshot } = await small.machine.save();
  const { machine } = await adoptFlat(engine, 'large', PAGES);
  expect(await codeOf(() => machine.standOn(snapshot.id))).toBe('guest-mismatch');
  expect(machine.base).toBeNull();
});

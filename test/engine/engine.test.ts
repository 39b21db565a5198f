// The engine's verbs over a flat guest and a store in memory: what each does, reports and refuses.

import { describe, expect, it } from 'vitest';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';

describe('save and restore', () => {
  it('brings all of memory and the devices back, and the guest goes on as it had', async () => {
    const engine = await openTestEngine();
    const { guest, machine, memory } = await adoptFlat(engine, 'flat', 64);
    guest.run(5000);
    const { snapshot } = await machine.save({ label: 'first' });
    const saved = memory.slice();
    const wentOn = guest.run(5000);
    expect(memory).not.toEqual(saved);
    const report = await machine.restore(snapshot.id);
    expect(report.pagesWritten).toBeGreaterThan(0);
    expect(memory).toEqual(saved);
    expect(guest.run(5000)).toBe(wentOn);
  });
});

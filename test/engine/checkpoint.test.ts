// A machine's checkpoint between its saves: what a reset writes is in the next snapshot, and snapshots stay what they were.

import { describe, expect, it } from 'vitest';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';

const code = (name: string) => expect.objectContaining({ code: name });

describe.each(['none', 'marks'] as const)('a machine whose guest marks %s', (tracking) => {
  it('goes back to its checkpoint over saves and restores, and saves what it finds there', async () => {
    const engine = await openTestEngine();
    const { guest, machine, memory } = await adoptFlat(engine, 'first', 64, { tracking });
    guest.run(500);
    await machine.checkpoint();
    const point = memory.slice();
    const onward = guest.run(300);
    const after = memory.slice();
    const saved = await machine.save();
    expect((await machine.reset()).pagesWritten).toBeGreaterThan(0);
    expectSame(memory, point);
    expect(guest.run(300)).toBe(onward);
    await machine.reset();
    const atPoint = await machine.save();
    expect(machine.base).toBe(atPoint.snapshot.id);
    guest.run(1000);
    await machine.restore(saved.snapshot.id);
    expectSame(memory, after);
    await machine.reset();
    expectSame(memory, point);
    // Both snapshots, read from the store alone, into a machine that knows no checkpoint.
    const other = await adoptFlat(engine, 'second', 64, { tracking });
    for (const [id, expected] of [
      [saved.snapshot.id, after],
      [atPoint.snapshot.id, point],
    ] as const) {
      await other.machine.restore(id);
      expectSame(other.memory, expected);
    }
    expect(other.guest.run(300)).toBe(onward);
    await engine.close();
  });

  it('does one thing at a time, and has no checkpoint unless told', async () => {
    const engine = await openTestEngine();
    const { guest, machine } = await adoptFlat(engine, 'first', 8, { tracking });
    await expect(machine.reset()).rejects.toEqual(code('wrong-state'));
    await machine.checkpoint();
    guest.run(100);
    const saving = machine.save();
    await expect(machine.reset()).rejects.toEqual(code('busy'));
    await expect(machine.checkpoint()).rejects.toEqual(code('busy'));
    await saving;
    await machine.reset();
    await machine.dropCheckpoint();
    await expect(machine.reset()).rejects.toEqual(code('wrong-state'));
    await engine.close();
  });
});

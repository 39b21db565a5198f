// Snapshots verified by replay: whole ones pass; a guest that keeps something to itself is found out, and where.

import { describe, expect, it } from 'vitest';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { Guest } from '../../src/guest/guest.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';

const PAGES = 24;

function spare(): FlatGuest {
  return new FlatGuest({
    regions: [{ name: 'ram', bytes: new Uint8Array(PAGES * 4096), guestAddress: 0 }],
  });
}

async function saved() {
  const engine = await openTestEngine();
  const { guest, machine } = await adoptFlat(engine, 'one', PAGES);
  guest.run(5000);
  return { engine, id: (await machine.save()).snapshot.id };
}

/** The guest with some of its functions replaced. */
function withChanges(guest: FlatGuest, changes: Partial<Guest>): Guest {
  return new Proxy<Guest>(guest, {
    get: (target, name) => {
      if (name in changes) return Reflect.get(changes, name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe('a snapshot verified by replay', () => {
  it('is whole when both runs end alike', async () => {
    const { engine, id } = await saved();
    expect(await engine.verifyByReplay(id, spare(), { steps: 3000 })).toEqual({
      steps: 3000,
      difference: null,
    });
  });

  it('is not when the guest loads less than it saves', async () => {
    const { engine, id } = await saved();
    const guest = spare();
    const forgetful = withChanges(guest, { loadDevices: () => undefined });
    expect((await engine.verifyByReplay(id, forgetful, { steps: 10 })).difference).toEqual({
      stage: 'restore',
      where: 'record registers at byte 4',
    });
  });

  it('is not when something outside of the state decides what it does', async () => {
    const { engine, id } = await saved();
    const guest = spare();
    let runs = 0;
    const replay = {
      begin: () => guest.replay.begin(),
      run: async (steps: number) => {
        const position = await guest.replay.run(steps);
        // A variable in a closure that no restore brings back.
        if (++runs === 2) guest.view(0)![5 * 4096 + 7]! ^= 1;
        return position;
      },
    };
    const moody = withChanges(guest, { replay });
    expect((await engine.verifyByReplay(id, moody, { steps: 100 })).difference).toEqual({
      stage: 'run',
      where: `region ram, page 5, byte ${5 * 4096 + 7}`,
    });
  });

  it('wants a guest that can, of the same shape', async () => {
    const { engine, id } = await saved();
    const unable = withChanges(spare(), { replay: undefined });
    await expect(engine.verifyByReplay(id, unable)).rejects.toMatchObject({ code: 'unsupported' });
    const other = new FlatGuest({ regions: [{ name: 'ram', bytes: new Uint8Array(4096) }] });
    await expect(engine.verifyByReplay(id, other)).rejects.toMatchObject({ code: 'guest-mismatch' });
    await expect(engine.verifyByReplay(id, spare(), { steps: 0 })).rejects.toMatchObject({
      code: 'argument-invalid',
    });
  });
});

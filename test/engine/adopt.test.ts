// Machines under an engine: what they go on from, and when they are let go.

import { describe, expect, it } from 'vitest';
import { FlatGuest } from '../../src/guest/flat.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';

describe('a machine under an engine', () => {
  it('goes on from a snapshot that it came to by other means', async () => {
    const engine = await openTestEngine();
    const first = await adoptFlat(engine, 'flat', 8);
    first.memory.fill(7);
    const { snapshot } = await first.machine.save();
    const again = await adoptFlat(engine, 'again', 8);
    again.memory.set(first.memory);
    again.memory[5] = 1;
    await again.machine.goOnFrom(snapshot.id.slice(0, 8));
    expect(again.machine.base).toBe(snapshot.id);
    expect(await engine.head('again')).toBe(snapshot.id);
    // Nothing is taken for known: what differs is found, and the first save looks at all of it.
    expect((await again.machine.diff()).regions[0]!.runs).toMatchObject([{ first: 0 }]);
    const saved = await again.machine.save();
    expect(saved).toMatchObject({ pagesScanned: 8, snapshot: { parent: snapshot.id } });
    const [bytes] = await engine.peek(saved.snapshot.id, [{ address: 0, lengthBytes: again.memory.length }]);
    expect(bytes).toEqual(again.memory);
    await engine.delete([snapshot.id]);
    await expect(again.machine.goOnFrom(snapshot.id)).rejects.toMatchObject({ code: 'not-found' });
    expect(again.machine.base).toBe(saved.snapshot.id);
  });

  it('is let go when it was closed, or was to be a fork and failed', async () => {
    const engine = await openTestEngine();
    const closes: string[] = [];
    const noting = <T extends { guest: FlatGuest }>(name: string, { guest, ...rest }: T) => {
      const close = guest.close.bind(guest);
      guest.close = async () => {
        closes.push(name);
        await close();
      };
      return { guest, ...rest };
    };
    const first = noting('first', await adoptFlat(engine, 'first', 1));
    const { snapshot } = await first.machine.save();
    await first.machine.close();
    noting('open', await adoptFlat(engine, 'open', 1));
    const guest = new FlatGuest({
      regions: [{ name: 'ram', bytes: new Uint8Array(8192), guestAddress: 0 }],
    });
    noting('fork', { guest });
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    await expect(engine.fork(snapshot.id, 'fork', tracker)).rejects.toMatchObject({ code: 'guest-mismatch' });
    await engine.close();
    // The guest of the fork is its caller's still.
    expect(closes).toEqual(['first', 'open']);
  });
});

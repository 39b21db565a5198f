// When epochs come, and when they are left out.

import { describe, expect, it } from 'vitest';
import { EpochTimer } from '../../src/rewind/epoch-timer.ts';
import { handClock, openFlatRewind } from './rewind-subject.ts';

describe('epochs', () => {
  it('are left out when nothing changed, and while suspended', async () => {
    const { guest, rewind } = await openFlatRewind();
    expect(await rewind.epoch()).toBe('unchanged');
    guest.run(1);
    expect(await rewind.epoch()).toBe('taken');
    rewind.setSuspended(true);
    guest.run(1);
    expect(await rewind.epoch()).toBe('skipped');
    rewind.setSuspended(false);
    expect(await rewind.epoch()).toBe('taken');
    expect(rewind.stats()).toMatchObject({
      points: 3,
      epochs: { taken: 2, unchanged: 1, skippedSuspended: 1 },
    });
  });

  it('come by a timer, fewer when they cost more than their share', async () => {
    const clock = handClock();
    const { guest, rewind } = await openFlatRewind({ clock });
    const waits: number[] = [];
    let next: () => void = () => {};
    const wait = (task: () => void, ms: number) => {
      waits.push(ms);
      next = task;
      return () => {
        next = () => {};
      };
    };
    let tick: () => void = () => {};
    const timer = new EpochTimer(rewind, {
      epochMs: 100,
      clock,
      wait: (task, ms) => {
        tick();
        return wait(task, ms);
      },
    });
    expect(waits).toEqual([100]);
    const fire = (costMs: number) =>
      new Promise<void>((done) => {
        tick = done;
        const save = guest.saveDevices.bind(guest);
        guest.saveDevices = () => {
          clock.ms += costMs;
          guest.saveDevices = save;
          return save();
        };
        guest.run(1);
        next();
      });
    await fire(0);
    await fire(4);
    await fire(35);
    expect(waits).toEqual([100, 100, 96, 315]);
    expect(rewind.stats().epochs).toMatchObject({ taken: 3, skippedBehind: 2 });
    timer.stop();
  });
});

// The flat guest, untracked and tracked, against the suite that all guests pass; and what is its own.

import { describe, expect, it } from 'vitest';
import { FlatGuest, type FlatGuestOptions } from '../../../src/guest/flat.ts';
import { guestConformance, type OpenSubject } from '../../../src/testing/guest-conformance.ts';
import { pages, picture } from '../../support/pages.ts';

const STEPS = 500;

function opener(options: Omit<FlatGuestOptions, 'regions'>): OpenSubject {
  return async () => {
    const guest = new FlatGuest({
      ...options,
      regions: [
        { name: 'ram', bytes: pages('..A.B0cc'), pageBytes: 256, guestAddress: 0 },
        { name: 'odd', bytes: pages('Z.q').subarray(0, 700), pageBytes: 256, kind: 'device' },
        { name: 'one', bytes: new Uint8Array(1), kind: 'other' },
      ],
    });
    return { guest, run: async () => guest.run(STEPS) };
  };
}

guestConformance('flat guest', opener({ seed: 7 }), { describe, expect, it });
guestConformance('flat guest with marks', opener({ tracking: 'marks' }), { describe, expect, it });
guestConformance('flat guest with a barrier', opener({ tracking: 'barrier' }), { describe, expect, it });
guestConformance(
  'flat guest without memory',
  async () => {
    const guest = new FlatGuest({ regions: [{ name: 'none', bytes: new Uint8Array(0) }] });
    return { guest, run: async () => guest.run(STEPS) };
  },
  { describe, expect, it },
);

describe('FlatGuest', () => {
  it('does the same from the same seed and something else from another one', () => {
    const run = (seed: number) =>
      new FlatGuest({ seed, regions: [{ name: 'ram', bytes: pages('A.B.') }] }).run(100);
    expect(run(5)).toBe(run(5));
    expect(run(5)).not.toBe(run(6));
  });

  it('shows one changed byte of memory in what it does next', () => {
    const run = (bytes: Uint8Array) => new FlatGuest({ regions: [{ name: 'ram', bytes }] }).run(2000);
    const changed = pages('A');
    changed[3]! ^= 1;
    expect(run(changed)).not.toBe(run(pages('A')));
  });

  it('marks exactly the pages that its program writes', async () => {
    const guest = new FlatGuest({
      tracking: 'marks',
      regions: [{ name: 'ram', bytes: pages('......'), pageBytes: 256 }],
    });
    await guest.pause();
    guest.takeDirty().commit();
    await guest.resume();
    guest.write(0, 255, Uint8Array.of(1, 1));
    guest.write(0, 1024, pages('A'));
    await guest.pause();
    expect([...guest.takeDirty().pages[0]!]).toEqual([0, 1, 4]);
    expect(picture(guest.view(0)!)).toBe('??..A.');
  });

  it('counts only the first of commit and putBack', async () => {
    const guest = new FlatGuest({ tracking: 'marks', regions: [{ name: 'ram', bytes: pages('..') }] });
    await guest.pause();
    const take = guest.takeDirty();
    take.commit();
    take.putBack();
    expect(guest.takeDirty().pages[0]!.isEmpty).toBe(true);
  });

  it('refuses registers that it can never hold', async () => {
    const guest = new FlatGuest({ regions: [{ name: 'ram', bytes: pages('.') }] });
    await guest.pause();
    const [record] = guest.saveDevices();
    const randomZero = record!.bytes.slice().fill(0, 4, 8);
    const stepsTooMany = record!.bytes.slice().fill(0xff, 12, 20);
    for (const bytes of [randomZero, stepsTooMany]) {
      expect(() => guest.loadDevices([{ ...record!, bytes }])).toThrow(
        expect.objectContaining({ code: 'guest-state-invalid' }),
      );
    }
  });

  it('refuses to run while paused, and regions that no machine can have', async () => {
    const guest = new FlatGuest({ regions: [{ name: 'ram', bytes: pages('.') }] });
    await guest.pause();
    expect(() => guest.run(1)).toThrow(expect.objectContaining({ code: 'wrong-state' }));
    expect(() => guest.write(0, 0, Uint8Array.of(1))).toThrow(
      expect.objectContaining({ code: 'wrong-state' }),
    );
    const twice = { name: 'ram', bytes: pages('.') };
    expect(() => new FlatGuest({ regions: [twice, twice] })).toThrow(
      expect.objectContaining({ code: 'argument-invalid' }),
    );
  });
});

describe('pages', () => {
  it('draws what it was told and reads it back', () => {
    expect(picture(pages('..A.B0z', 512), 512)).toBe('..A.B.z');
    expect(pages('A', 512).subarray(0, 256)).toEqual(pages('A'));
    expect(() => pages('!')).toThrow();
  });
});

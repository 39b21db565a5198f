// Conformance: a guest's write barrier. An instant read while the guest runs equals the one read at rest, whoever was first
// at each page. Guests without a barrier pass by having none.

import { SYSTEM_CLOCK as clock } from '../../base/clock.ts';
import type { Barrier } from '../../guest/barrier.ts';
import type { Guest } from '../../guest/guest.ts';
import { PageSet } from '../../memory/page-set.ts';
import { pageCountOf } from '../../memory/region.ts';
import { takeInstant } from './instant.ts';
import { codeOf, guestTest, type OpenSubject, type Subject, type TestApi, whilePaused } from './subject.ts';

/** How often the guest runs between two looks of the saver. */
const ROUNDS = 3;

export function barrierSuite(name: string, open: OpenSubject, api: TestApi): void {
  const { expect } = api;
  const test = guestTest(open, api);
  const barrierTest = (title: string, body: (subject: Subject, guest: Guest) => Promise<void>): void =>
    test(title, async (subject, guest) => {
      if (guest.openBarrier === undefined || guest.traits.tracking !== 'barrier') return;
      await body(subject, guest);
    });

  api.describe(`${name}: a barrier`, () => {
    test('is there exactly when the traits say so', async (_, guest) => {
      const code = await codeOf(() => guest.openBarrier?.({ ringBytes: 0, clock }).close());
      const works = guest.openBarrier !== undefined && code === 'none';
      expect(works).toBe(guest.traits.tracking === 'barrier');
    });

    for (const [room, ringBytes] of [
      ['no ring', 0],
      ['a ring of two pages', 8192],
      ['a ring for all', Number.MAX_SAFE_INTEGER],
    ] as const) {
      barrierTest(`keeps the armed instant while the guest writes, with ${room}`, async (subject, guest) => {
        await subject.run();
        const barrier = guest.openBarrier!({ ringBytes: Math.min(ringBytes, sizeOf(guest)), clock });
        const saver = new Saver(guest, barrier);
        const truth = await whilePaused(guest, async () => {
          const instant = await takeInstant(guest);
          saver.arm();
          return instant;
        });
        for (let round = 0; round < ROUNDS; round++) {
          await subject.run();
          saver.read(1 / ROUNDS);
        }
        saver.read(1);
        const figures = barrier.figures();
        barrier.close();
        for (const [region, bytes] of saver.memory.entries()) {
          if (barrier.covers[region]) expect(firstDifference(bytes, truth.memory[region]!)).toBe(-1);
        }
        expect(figures.copiedAside > 0).toBe(true);
        expect(figures.peakRingBytes <= barrier.ringBytes).toBe(true);
        if (ringBytes === 0) expect(figures.spilled).toBe(figures.copiedAside);
        if (ringBytes === Number.MAX_SAFE_INTEGER) expect(figures.spilled <= figures.copiedAside).toBe(true);
        // Each page once, by one of the two.
        expect(saver.twice).toBe(0);
      });
    }

    barrierTest(
      'leaves the guest alone when it is closed early, and can be opened again',
      async (subject, guest) => {
        const twin = await open();
        try {
          for (let round = 0; round < 2; round++) {
            const barrier = guest.openBarrier!({ ringBytes: 8192, clock });
            expect(await codeOf(() => guest.openBarrier!({ ringBytes: 0, clock }))).toBe('wrong-state');
            await whilePaused(guest, () => new Saver(guest, barrier).arm());
            const [seen, expected] = [await subject.run(), await twin.run()];
            expect(seen).toBe(expected);
            barrier.close();
            barrier.close();
          }
        } finally {
          await twin.guest.close();
        }
      },
    );

    barrierTest('still marks what the guest writes', async (subject, guest) => {
      const barrier = guest.openBarrier!({ ringBytes: 8192, clock });
      const before = await whilePaused(guest, async () => {
        guest.takeDirty().commit();
        new Saver(guest, barrier).arm();
        return takeInstant(guest);
      });
      await subject.run();
      await whilePaused(guest, async () => {
        const { memory } = await takeInstant(guest);
        const take = guest.takeDirty();
        for (const { id, pageBytes } of guest.regions) {
          const told = take.pages[id];
          if (told === null || told === undefined) continue;
          const at = firstDifference(memory[id]!, before.memory[id]!);
          if (at >= 0) expect(told.has(Math.floor(at / pageBytes))).toBe(true);
        }
        take.commit();
      });
      barrier.close();
    });

    barrierTest('may be closed after its guest', async (_, guest) => {
      const barrier = guest.openBarrier!({ ringBytes: 8192, clock });
      await whilePaused(guest, () => new Saver(guest, barrier).arm());
      await guest.close();
      barrier.close();
      expect(await codeOf(() => guest.openBarrier!({ ringBytes: 0, clock }))).toBe('guest-closed');
    });
  });
}

/** A saver as plain as can be: all pages of all covered regions, from the last to the first. */
class Saver {
  readonly memory: Uint8Array[];
  /** Pages that came more than once. */
  twice = 0;
  readonly #guest: Guest;
  readonly #barrier: Barrier;
  readonly #left: readonly PageSet[];

  constructor(guest: Guest, barrier: Barrier) {
    this.#guest = guest;
    this.#barrier = barrier;
    this.memory = guest.regions.map(({ sizeBytes }) => new Uint8Array(sizeBytes));
    this.#left = guest.regions.map((region) =>
      barrier.covers[region.id] ? PageSet.all(pageCountOf(region)) : new PageSet(pageCountOf(region)),
    );
  }

  arm(): void {
    this.#barrier.arm(
      this.#left.map((pages) => pages.clone()),
      (region, page, bytes) => this.#take(region, page, bytes),
    );
  }

  /** Empties the ring, then reads so much of what is left. */
  read(part: number): void {
    while (this.#barrier.drain(3) > 0);
    for (const { id, pageBytes } of this.#guest.regions) {
      const pages = [...this.#left[id]!].reverse();
      for (const page of pages.slice(0, Math.ceil(pages.length * part))) {
        const bytes = this.#barrier.view(id).slice(page * pageBytes, (page + 1) * pageBytes);
        if (this.#barrier.release(id, page)) this.#take(id, page, bytes);
      }
    }
    while (this.#barrier.drain(3) > 0);
  }

  #take(region: number, page: number, bytes: Uint8Array): void {
    const { pageBytes, sizeBytes } = this.#guest.regions[region]!;
    if (!this.#left[region]!.has(page)) this.twice++;
    this.#left[region]!.delete(page);
    const at = page * pageBytes;
    this.memory[region]!.set(bytes.subarray(0, Math.min(pageBytes, sizeBytes - at)), at);
  }
}

function sizeOf(guest: Guest): number {
  return guest.regions.reduce((sum, { sizeBytes, pageBytes }) => sum + sizeBytes + pageBytes, 0);
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  return a.length === b.length ? a.findIndex((byte, at) => byte !== b[at]) : 0;
}

// Conformance: what a guest tells of the pages it wrote. A page too many costs time, a page too few is a lost write.

import { pageCountOf } from '../../memory/region.ts';
import { type Instant, missedPages, takeInstant } from './instant.ts';
import { guestTest, type OpenSubject, type TestApi, whilePaused } from './subject.ts';

/** Of a region's pages one in so many may be told at every take. */
const MAX_ALWAYS_TOLD = 64;

export function dirtySuite(name: string, open: OpenSubject, api: TestApi): void {
  const { expect } = api;
  const test = guestTest(open, api);

  api.describe(`${name}: dirty pages`, () => {
    test('are a superset of what changed, and at first of what is there', async (subject, guest) => {
      let before: Instant | undefined;
      for (let round = 0; round < 4; round++) {
        await whilePaused(guest, async () => {
          const take = guest.takeDirty();
          const after = await takeInstant(guest);
          expect(missedPages(guest, take.pages, before, after)).toEqual([]);
          take.commit();
          before = after;
        });
        await subject.run();
      }
    });

    test('hold what was put back, and what was written meanwhile', async (subject, guest) => {
      const before = await whilePaused(guest, () => {
        guest.takeDirty().commit();
        return takeInstant(guest);
      });
      await subject.run();
      const lost = await whilePaused(guest, async () => {
        guest.takeDirty().putBack();
        const again = guest.takeDirty();
        expect(missedPages(guest, again.pages, before, await takeInstant(guest))).toEqual([]);
        return again;
      });
      await subject.run();
      await whilePaused(guest, async () => {
        lost.putBack();
        const take = guest.takeDirty();
        expect(missedPages(guest, take.pages, before, await takeInstant(guest))).toEqual([]);
        for (const [region, pages] of lost.pages.entries()) {
          const again = take.pages[region];
          if (again === null || pages === null) continue;
          expect([...pages].filter((page) => !again?.has(page))).toEqual([]);
        }
        take.commit();
      });
    });

    test('hold what a restore wrote', async (subject, guest) => {
      await subject.run();
      await whilePaused(guest, async () => {
        const before = await takeInstant(guest);
        guest.takeDirty().commit();
        for (const { id, sizeBytes } of guest.regions) {
          if (sizeBytes === 0) continue;
          const last = { region: id, offsetBytes: sizeBytes - 1, lengthBytes: 1 };
          const inverted = Uint8Array.of(before.memory[id]![sizeBytes - 1]! ^ 0xff);
          await guest.writePages(last, inverted);
        }
        const take = guest.takeDirty();
        expect(missedPages(guest, take.pages, before, await takeInstant(guest))).toEqual([]);
        take.commit();
      });
    });

    test('forget what was committed, where writes are tracked', async (_, guest) => {
      await whilePaused(guest, () => {
        guest.takeDirty().commit();
        const again = guest.takeDirty();
        if (guest.traits.tracking !== 'none') {
          // A region that cannot tell says null, but not every one of them. A few pages may be told always: those that a
          // program writes at constant addresses, so that no store has to look.
          const told = again.pages.filter((pages) => pages !== null);
          expect(told.length > 0).toBe(true);
          for (const [region, pages] of again.pages.entries()) {
            const few = pageCountOf(guest.regions[region]!) / MAX_ALWAYS_TOLD;
            expect((pages?.size ?? 0) <= few).toBe(true);
          }
        }
        again.commit();
      });
    });
  });
}

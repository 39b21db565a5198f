// Conformance: a guest that was restored goes on as it did the first time. All else is there for this.

import { differenceOf, putInstant, takeInstant } from './instant.ts';
import { guestTest, type OpenSubject, type TestApi, whilePaused } from './subject.ts';

export function restoreSuite(name: string, open: OpenSubject, api: TestApi): void {
  const { expect } = api;
  const test = guestTest(open, api);

  api.describe(`${name}: restore`, () => {
    test('goes on as it did the first time, as often as one likes', async (subject, guest) => {
      await subject.run();
      const start = await whilePaused(guest, () => takeInstant(guest));
      const transcript = await subject.run();
      const end = await whilePaused(guest, () => takeInstant(guest));
      expect(differenceOf(start, end) === 'none').toBe(false);
      for (let round = 0; round < 4; round++) {
        // Every other time it has gone further before.
        if (round % 2 === 1) await subject.run();
        await whilePaused(guest, () => putInstant(guest, start));
        expect(await subject.run()).toBe(transcript);
        if (subject.exact === false) continue;
        const again = await whilePaused(guest, () => takeInstant(guest));
        expect(differenceOf(end, again)).toBe('none');
      }
    });

    test('may be followed by another one at once', async (subject, guest) => {
      const start = await whilePaused(guest, () => takeInstant(guest));
      const transcript = await subject.run();
      const end = await whilePaused(guest, () => takeInstant(guest));
      const onward = await subject.run();
      await whilePaused(guest, async () => {
        await putInstant(guest, start);
        await putInstant(guest, end);
      });
      expect(await subject.run()).toBe(onward);
      await whilePaused(guest, async () => {
        await putInstant(guest, end);
        await putInstant(guest, start);
      });
      expect(await subject.run()).toBe(transcript);
    });

    test('goes on in a new instance, while the old one goes its own way', async (subject, guest) => {
      await subject.run();
      const start = await whilePaused(guest, () => takeInstant(guest));
      const transcript = await subject.run();
      const end = await whilePaused(guest, () => takeInstant(guest));
      const fork = await open();
      try {
        await whilePaused(fork.guest, () => putInstant(fork.guest, start));
        const apart = await whilePaused(guest, () => takeInstant(guest));
        expect(differenceOf(end, apart)).toBe('none');
        expect(await fork.run()).toBe(transcript);
        if (subject.exact !== false) {
          const again = await whilePaused(fork.guest, () => takeInstant(fork.guest));
          expect(differenceOf(end, again)).toBe('none');
        }
        expect(await subject.run()).toBe(await fork.run());
      } finally {
        await fork.guest.close();
      }
    });
  });
}

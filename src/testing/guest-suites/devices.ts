// Conformance: device state is exact, and state that is not good changes nothing.

import { damagedRecords } from './damaged-records.ts';
import { differenceOf, differenceOfDevices, putInstant, takeInstant } from './instant.ts';
import { codeOf, guestTest, type OpenSubject, type TestApi, whilePaused } from './subject.ts';

export function devicesSuite(name: string, open: OpenSubject, api: TestApi): void {
  const { expect } = api;
  const test = guestTest(open, api);

  api.describe(`${name}: devices`, () => {
    test('are the same bytes from the same state, under names of their own', async (subject, guest) => {
      await subject.run();
      await whilePaused(guest, async () => {
        const records = await guest.saveDevices();
        expect(differenceOfDevices(records, await guest.saveDevices())).toBe('none');
        expect(new Set(records.map((record) => record.name)).size).toBe(records.length);
      });
    });

    test('are after a restore what they were before', async (subject, guest) => {
      const first = await whilePaused(guest, () => takeInstant(guest));
      await subject.run();
      await whilePaused(guest, async () => {
        await putInstant(guest, first);
        expect(differenceOf(first, await takeInstant(guest))).toBe('none');
      });
    });

    test('may come in any order', async (subject, guest) => {
      const first = await whilePaused(guest, () => takeInstant(guest));
      await subject.run();
      await whilePaused(guest, async () => {
        await putInstant(guest, { ...first, devices: first.devices.toReversed() });
        expect(differenceOf(first, await takeInstant(guest))).toBe('none');
      });
    });

    test('are refused when damaged, and stay as they were', async (subject, guest) => {
      await subject.run();
      await whilePaused(guest, async () => {
        const before = await takeInstant(guest);
        for (const { how, records, mustRefuse } of damagedRecords(before.devices)) {
          const code = await codeOf(() => guest.loadDevices(records));
          // Whether a changed byte makes another good state only the guest knows; integrity is the format's.
          if (code === 'none' && !mustRefuse) await guest.loadDevices(before.devices);
          else expect({ how, code }).toEqual({ how, code: 'guest-state-invalid' });
          const difference = differenceOfDevices(before.devices, await guest.saveDevices());
          expect({ how, difference }).toEqual({ how, difference: 'none' });
        }
        expect(differenceOf(before, await takeInstant(guest))).toBe('none');
      });
      await subject.run();
    });
  });
}

// Conformance: what a guest says of itself, and when it may be asked.

import type { Guest } from '../../guest/guest.ts';
import { checkRegions } from '../../memory/region.ts';
import { differenceOf, takeInstant } from './instant.ts';
import { codeOf, guestTest, type OpenSubject, type TestApi, whilePaused } from './subject.ts';

export function lifecycleSuite(name: string, open: OpenSubject, api: TestApi): void {
  const { expect } = api;
  const test = guestTest(open, api);

  api.describe(`${name}: description`, () => {
    test('has regions that a machine can have', async (_, guest) => {
      checkRegions(guest.regions);
    });

    test('describes its machine in plain values, alike in every instance', async (_, guest) => {
      const other = (await open()).guest;
      try {
        expect(JSON.parse(JSON.stringify(guest.machine))).toEqual(guest.machine);
        expect(other.machine).toEqual(guest.machine);
        expect(other.regions).toEqual(guest.regions);
      } finally {
        await other.close();
      }
    });
  });

  api.describe(`${name}: pause`, () => {
    test('refuses every call on state while it runs', async (_, guest) => {
      expect(await answersOf(guest)).toEqual(allAnswer('wrong-state'));
    });

    test('stays paused until the last resume', async (_, guest) => {
      await guest.pause();
      await guest.pause();
      await guest.resume();
      await guest.saveDevices();
      await guest.resume();
      expect(await answersOf(guest)).toEqual(allAnswer('wrong-state'));
      expect(await codeOf(() => guest.resume())).toBe('wrong-state');
      await whilePaused(guest, () => guest.saveDevices());
    });

    test('changes nothing while paused', async (subject, guest) => {
      await subject.run();
      await whilePaused(guest, async () => {
        const before = await takeInstant(guest);
        expect(differenceOf(before, await takeInstant(guest))).toBe('none');
      });
    });

    test('goes on after a pause as if there had been none', async (subject, guest) => {
      const other = await open();
      try {
        await subject.run();
        await other.run();
        await whilePaused(guest, () => takeInstant(guest));
        expect(await subject.run()).toBe(await other.run());
      } finally {
        await other.guest.close();
      }
    });

    test('refuses everything once closed, and may be closed again', async (_, guest) => {
      await guest.close();
      await guest.close();
      expect(await codeOf(() => guest.pause())).toBe('guest-closed');
      expect(await codeOf(() => guest.resume())).toBe('guest-closed');
      expect(await answersOf(guest)).toEqual(allAnswer('guest-closed'));
    });

    test('can be closed while paused', async (_, guest) => {
      await guest.pause();
      await guest.close();
      expect(await answersOf(guest)).toEqual(allAnswer('guest-closed'));
    });
  });
}

const CALLS = ['takeDirty', 'view', 'readPages', 'writePages', 'saveDevices', 'loadDevices'] as const;

function allAnswer(code: string): Record<string, string> {
  return Object.fromEntries(CALLS.map((call) => [call, code]));
}

/** What each call that needs a paused guest answers now. */
async function answersOf(guest: Guest): Promise<Record<string, string>> {
  const span = { region: 0, offsetBytes: 0, lengthBytes: 0 };
  const nothing = new Uint8Array(0);
  return {
    takeDirty: await codeOf(() => guest.takeDirty()),
    view: await codeOf(() => guest.view(0)),
    readPages: await codeOf(() => guest.readPages(span, nothing)),
    writePages: await codeOf(() => guest.writePages(span, nothing)),
    saveDevices: await codeOf(() => guest.saveDevices()),
    loadDevices: await codeOf(() => guest.loadDevices([])),
  } satisfies Record<(typeof CALLS)[number], string>;
}

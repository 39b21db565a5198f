// The IndexedDB store in real Chromium: the contract, and what only a browser does — tabs that close, crash and run
// out of room, a browser that ends, a database that is deleted under a store.

import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KIB, MIB } from '../../src/base/limits.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';
import { type Harness, openHarness } from './harness.ts';
import type { StorePage } from './pages/store.ts';

declare const storePage: StorePage;

const PATH = '/test/browser/pages/store.html';
const OBJECT_BYTES = 2 * MIB;

let harness: Harness;
beforeAll(async () => {
  harness = await openHarness();
});
afterAll(() => harness.close());

async function openTab(browser = harness): Promise<Page> {
  const page = await browser.open(PATH);
  await page.waitForFunction(() => 'storePage' in window);
  return page;
}

const write = (page: Page, database: string, steps: number, objectBytes = OBJECT_BYTES) =>
  page.evaluate(([name, count, bytes]) => storePage.write(name, count, bytes), [
    database,
    steps,
    objectBytes,
  ] as const);
const look = (page: Page, database: string) => page.evaluate((name) => storePage.look(name), database);

describe('idb store in Chromium', () => {
  it('keeps the contract', async () => {
    const page = await openTab();
    const results = await page.evaluate((seed) => storePage.contract(seed), seedOfRun());
    expect(results.filter((result) => result.error !== undefined)).toEqual([]);
    expect(results.length).toBeGreaterThan(15);
    await page.close();
  });

  it('keeps what it said when the tab and the browser are closed', async () => {
    const first = await openTab();
    expect(await write(first, 'closed', 5)).toBe('done');
    await first.close();
    const second = await openTab();
    expect(await look(second, 'closed')).toEqual({ head: 5, objectCount: 5, damaged: [] });
    expect(await write(second, 'closed', 2)).toBe('done');
    await harness.restart();
    const third = await openTab();
    expect(await look(third, 'closed')).toEqual({ head: 7, objectCount: 7, damaged: [] });
    await third.close();
  });

  it('loses nothing when the tab crashes in the middle of puts', async () => {
    const seed = seedOfRun();
    const random = new Random(seed);
    let head = 0;
    for (let round = 0; round < 6; round++) {
      const page = await openTab();
      const session = await harness.context.newCDPSession(page);
      const steps = 1 + random.below(4);
      const crashed = page.waitForEvent('crash');
      // Never awaited to its end: the tab dies under it.
      write(page, 'crashed', 1000).catch(() => {});
      await page.waitForFunction((count) => storePage.reported >= count, head + steps, { polling: 'raf' });
      const reported = await page.evaluate(() => storePage.reported);
      session.send('Page.crash').catch(() => {});
      await crashed;
      await page.close();

      const after = await openTab();
      const state = await look(after, 'crashed');
      expect([`SEED=${seed} round ${round}`, state.damaged]).toEqual([`SEED=${seed} round ${round}`, []]);
      expect(state.head).toBeGreaterThanOrEqual(reported);
      head = state.head;
      await after.close();
    }
  });

  it('says store-full when the quota is used up, keeps all, and goes on when there is room', async () => {
    // A browser of its own: Chromium 156 remembers for some time how much room it found, so that a quota counts only
    // when it is set before the first look.
    await using fresh = await openHarness();
    const page = await openTab(fresh);
    const session = await fresh.context.newCDPSession(page);
    const origin = fresh.origin;
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 5.5 * OBJECT_BYTES });
    expect(await write(page, 'quota', 20)).toBe('store-full');
    const full = await look(page, 'quota');
    expect(full.damaged).toEqual([]);
    expect([full.head, full.objectCount]).toEqual([await page.evaluate(() => storePage.reported), full.head]);
    expect([3, 4, 5]).toContain(full.head);
    expect(await write(page, 'quota', 1)).toBe('store-full');
    await session.send('Storage.overrideQuotaForOrigin', { origin });
    expect(await write(page, 'quota', 2)).toBe('done');
    expect(await look(page, 'quota')).toEqual({
      head: full.head + 2,
      objectCount: full.head + 2,
      damaged: [],
    });
    await page.close();
  });

  it('lets go when another tab deletes the database', async () => {
    const [one, other] = [await openTab(), await openTab()];
    expect(await write(one, 'deleted', 1)).toBe('done');
    await one.evaluate(() => storePage.hold('deleted'));
    await other.evaluate(() => storePage.remove('deleted'));
    expect(await one.evaluate(() => storePage.readHeld())).toBe('store-closed');
    expect(await look(other, 'deleted')).toEqual({ head: 0, objectCount: 0, damaged: [] });
    await Promise.all([one.close(), other.close()]);
  });

  it('opens again when the site data is cleared under it', async () => {
    const page = await openTab();
    expect(await write(page, 'cleared', 1)).toBe('done');
    await page.evaluate(() => storePage.hold('cleared'));
    const session = await harness.context.newCDPSession(page);
    await session.send('Storage.clearDataForOrigin', { origin: harness.origin, storageTypes: 'indexeddb' });
    expect(await page.evaluate(() => storePage.readHeld())).toBe('done');
    expect(await look(page, 'cleared')).toEqual({ head: 0, objectCount: 0, damaged: [] });
    await page.close();
  });

  it('lets tabs move one ref without losing a step', async () => {
    const pages = await Promise.all([openTab(), openTab()]);
    const counts = await Promise.all(
      pages.map(async (page) => {
        let done = 0;
        for (let tries = 0; tries < 40; tries++)
          if ((await write(page, 'tabs', 1, 4 * KIB)) === 'done') done++;
        return done;
      }),
    );
    expect(await look(pages[0]!, 'tabs')).toMatchObject({ head: counts[0]! + counts[1]!, damaged: [] });
    await Promise.all(pages.map((page) => page.close()));
  });

  it('was seen without errors of the page', () => {
    expect(harness.pageErrors).toEqual([]);
  });
});

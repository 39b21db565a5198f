// Guests in shared memory in real Chromium, and what they do where it cannot be had: everything else.

import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Harness, openHarness } from './harness.ts';
import { PIXEL } from './pages/graphics-rom.ts';
import type { SharedPage } from './pages/shared-memory.ts';

declare const sharedPage: SharedPage;

const PATH = '/test/browser/pages/shared-memory.html';

async function open(isolated: boolean): Promise<{ readonly harness: Harness; readonly page: Page }> {
  const harness = await openHarness({ isolated });
  const page = await harness.open(PATH);
  await page.waitForFunction(() => 'sharedPage' in window);
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(isolated);
  return { harness, page };
}

describe('an isolated page', () => {
  let harness: Harness;
  let page: Page;
  beforeAll(async () => {
    ({ harness, page } = await open(true));
  });
  afterAll(() => harness.close());

  it.each(['engine', 'guest'] as const)('saves a guest at work exactly, tracked by the %s', async (track) => {
    const { exact, moved } = await page.evaluate((track) => sharedPage.saves(track, false), track);
    expect(exact).toEqual([true, true, true, true]);
    expect(moved).toBe(true);
  });

  it.each(['engine', 'guest'] as const)(
    'saves it exactly while it works on, tracked by the %s',
    async (track) => {
      const { exact, modes, moved } = await page.evaluate((track) => sharedPage.saves(track, true), track);
      expect(modes).toEqual(['barrier', 'barrier', 'barrier', 'barrier']);
      expect(exact).toEqual([true, true, true, true]);
      expect(moved).toBe(true);
    },
  );

  it.each(['engine', 'guest'] as const)(
    'reads, saves and restores a PC in shared memory, tracked by the %s',
    async (track) => {
      expect(await page.evaluate((track) => sharedPage.pulse('auto', track), track)).toMatchObject({
        sharedMemory: true,
        reason: null,
        torn: 'torn',
        restored: true,
        readHere: true,
      });
    },
  );

  it.each(['engine', 'guest'] as const)(
    'saves MicroPython in shared memory while it works, tracked by the %s',
    async (track) => {
      const seen = await page.evaluate((track) => sharedPage.python('shared', track), track);
      expect(seen).toMatchObject({
        sharedMemory: true,
        exact: [true, true, true, true],
        moved: true,
        torn: 'torn',
      });
      expect(seen.modes).toEqual(['none', 'barrier', 'barrier', 'barrier']);
      expect(seen.said).toContain('mark 1 more than a few bytes, and some of them long: äöü €');
    },
  );

  it('takes views on shared memory where it is asked to, and only then', async () => {
    expect(await page.evaluate(() => sharedPage.acceptsViews())).toEqual([
      ...[false, false],
      ...[true, true],
      ...[false, false],
    ]);
  });

  it.each(['engine', 'guest'] as const)(
    'hears what a guest says by itself, tracked by the %s',
    async (track) => {
      expect(await page.evaluate((track) => sharedPage.asks(track), track)).toEqual({
        pagesSkippedFree: 512,
        isZeroSaved: true,
        isZeroLive: false,
        said: ['\u00ff 10', 's 10', 's 20', 'r 10', 'r 20', 'r 10', '\u00ff 10'],
        counts: { rings: 3, saves: 1, resets: 2 },
      });
    },
  );

  it('shows graphics of a PC in shared memory, on a screen of ours and on an embedder’s', async () => {
    expect(await page.evaluate(() => sharedPage.graphics('auto'))).toEqual(PIXEL.rgba);
    expect(await page.evaluate(() => sharedPage.canvas())).toEqual({ shared: true, rgba: PIXEL.rgba });
  });
});

describe('a page that is not isolated', () => {
  let harness: Harness;
  let page: Page;
  beforeAll(async () => {
    ({ harness, page } = await open(false));
  });
  afterAll(() => harness.close());

  it('has PCs in private memory, says why, and does all the same', async () => {
    expect(await page.evaluate(() => sharedPage.pulse('auto', 'engine'))).toMatchObject({
      sharedMemory: false,
      reason: 'the page is not cross-origin isolated',
      torn: 'instant',
      restored: true,
      readHere: null,
    });
    expect(await page.evaluate(() => sharedPage.graphics('auto'))).toEqual(PIXEL.rgba);
    expect(await page.evaluate(() => sharedPage.canvas())).toEqual({ shared: false, rgba: PIXEL.rgba });
  });

  it('has MicroPython in private memory, and saves it while it works all the same', async () => {
    const seen = await page.evaluate(() => sharedPage.python('auto', 'engine'));
    expect(seen).toMatchObject({ sharedMemory: false, exact: [true, true, true, true], torn: 'instant' });
    expect(seen.said).toContain('mark 1 ');
  });
});

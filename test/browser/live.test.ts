// Live captures in real Chromium: of v86 on a page's thread and in a worker, with its memory shared and not, each equal to a
// copy made in its pause.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Harness, openHarness } from './harness.ts';
import type { LivePage } from './pages/live.ts';

declare const livePage: LivePage;

const PATH = '/test/browser/pages/live.html';
const MEMORY_BYTES = 8 * 2 ** 20;
const RINGS = [0, 16 * 4096, MEMORY_BYTES];

describe.each([
  ['isolated', true],
  ['not isolated', false],
])('live captures of v86 where the page is %s', (_, isolated) => {
  let harness: Harness;
  beforeAll(async () => {
    harness = await openHarness({ isolated });
  });
  afterAll(() => harness.close());

  it.each(['onPage', 'inWorker'] as const)('are of one instant: %s', async (where) => {
    const page = await harness.open(PATH);
    await page.waitForFunction(() => 'livePage' in window);
    const { reports, wrongPages, isShared } = await page.evaluate(
      ({ where, rings }) => livePage[where](rings),
      { where, rings: RINGS },
    );
    await page.close();
    expect(isShared).toBe(isolated);
    expect(wrongPages).toBe(0);
    expect(reports.map(({ mode, reason }) => ({ mode, reason }))).toEqual(
      RINGS.map(() => ({ mode: 'barrier' })),
    );
    for (const [index, { pagesCopiedAside, spilled, ringBytes, peakRingBytes }] of reports.entries()) {
      expect(pagesCopiedAside).toBeGreaterThan(0);
      expect(ringBytes).toBe(RINGS[index]);
      expect(peakRingBytes).toBeLessThanOrEqual(ringBytes);
      if (ringBytes === 0) expect(spilled).toBe(pagesCopiedAside);
      if (ringBytes === MEMORY_BYTES) expect(spilled).toBe(0);
    }
  });
});

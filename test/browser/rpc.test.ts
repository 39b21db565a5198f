// Supervision in real Chromium: whatever becomes of a worker, each call that it owes an answer ends with a code.

import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Harness, openHarness } from './harness.ts';
import type { RpcPage } from './pages/rpc.ts';

declare const rpcPage: RpcPage;

let harness: Harness;
let page: Page;

beforeAll(async () => {
  harness = await openHarness();
  page = await harness.open('/test/browser/pages/rpc.html');
  await page.waitForFunction(() => 'rpcPage' in window);
});

afterAll(() => harness.close());

describe('a worker that does not start', () => {
  it('gives worker-start, whether it throws or is not there', async () => {
    const [throws, missing] = await page.evaluate(() => rpcPage.starts());
    expect(throws).toMatch(/^worker-start .*this worker throws at start/);
    expect(missing).toBe('worker-start the worker file could not be loaded');
  });
});

describe('calls under way', () => {
  it('end when the worker dies without a word', async () => {
    const lost = 'worker-lost died';
    expect(await page.evaluate(() => rpcPage.calls('die'))).toEqual([
      '7',
      lost,
      lost,
      lost,
      lost,
      'worker-lost',
    ]);
    expect(await page.evaluate(() => rpcPage.calls('kill'))).toEqual(['7', lost, lost, lost, 'worker-lost']);
  });

  it('end when the worker throws where nobody catches it', async () => {
    const lost = 'worker-lost error';
    expect(await page.evaluate(() => rpcPage.calls('fail'))).toEqual([
      '7',
      lost,
      lost,
      lost,
      lost,
      'worker-lost',
    ]);
  });

  it('end when the worker is terminated', async () => {
    const lost = 'worker-lost terminated';
    expect(await page.evaluate(() => rpcPage.calls('terminate'))).toEqual([
      '7',
      lost,
      lost,
      lost,
      'worker-lost',
    ]);
  });
});

describe('engine and guest in workers', () => {
  it.each(['guest', 'engine'] as const)(
    'outlive each other: a guest that dies in a save leaves the engine serving (tracked by the %s)',
    async (track) => {
      const outcomes = await page.evaluate((track) => rpcPage.guestDies(track), track);
      expect(outcomes).toEqual(['worker-lost', 'worker-lost', 'ok', 'kept']);
    },
  );

  it.each(['guest', 'engine'] as const)(
    'outlive each other: an engine that dies in a save leaves the guest running (tracked by the %s)',
    async (track) => {
      const outcomes = await page.evaluate((track) => rpcPage.engineDies(track), track);
      expect(outcomes).toEqual(['worker-lost died', 'worker-lost died', 'worker-lost', 'runs on']);
    },
  );

  it('give a save up when told, and report how far it is', async () => {
    const { outcomes, phases, snapshots } = await page.evaluate(() => rpcPage.aborts());
    expect(outcomes).toEqual(['aborted', 'aborted', 'ok']);
    expect(phases).toEqual(expect.arrayContaining(['encode']));
    expect(snapshots).toBe(1);
  });

  it('save a guest while it runs, give that up, and leave it whole when the engine dies in it', async () => {
    const outcomes = await page.evaluate(() => rpcPage.liveSaves());
    expect(outcomes).toEqual(['barrier', 'none', 'barrier', 'aborted', 'worker-lost died']);
  });

  it('bring a guest back to its checkpoint, saves in between or not', async () => {
    const { early, said, pagesWritten, late } = await page.evaluate(() => rpcPage.resets());
    expect([early, late]).toEqual(['wrong-state', 'wrong-state']);
    expect(said[0]).toMatch(/^1000 steps/);
    expect(new Set(said).size).toBe(1);
    // The same run writes the same pages each time.
    expect(pagesWritten[0]).toBeGreaterThan(10);
    expect(new Set(pagesWritten).size).toBe(1);
  });
});

// Replay on the page in Chromium: a snapshot of a live machine is run on twice in a machine of its own.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Harness, openHarness } from '../harness.ts';
import { PageDriver } from './page-driver.ts';
import { buildPage, type PageServer, servePage } from './page-server.ts';

const OUT = new URL('../.out/', import.meta.url).pathname;

let server: PageServer;
let harness: Harness;

beforeAll(async () => {
  await buildPage();
  server = await servePage({ isolated: true });
  harness = await openHarness();
});

afterAll(async () => {
  await harness?.close();
  await server?.close();
});

it('verifies snapshots of live machines by replay, where their kind can', async () => {
  const page = await harness.context.newPage();
  await page.setViewportSize({ width: 1280, height: 800 });
  const driver = new PageDriver(page);
  await driver.open(server.origin);
  await driver.waitForNumber('ticks', 3);
  await driver.save('at work');
  await driver.choose('at work');
  await driver.act('Verify by replay');
  await driver.notice(/“at work” runs on alike: twice 10,\d{3},\d{3} steps/).waitFor();
  await page.screenshot({ path: `${OUT}verify-replay.png`, fullPage: true });
  // The machine itself went on, and is the only one.
  expect(await page.evaluate(() => window.vitrine.workspace.machines.value.length)).toBe(1);

  await driver.openGuest('MicroPython', 'micropython');
  await driver.waitForOutput('micropython', '>>>');
  await driver.save('a prompt');
  await driver.choose('a prompt');
  const verify = page.getByRole('toolbar').getByRole('button', { name: 'Verify by replay' });
  expect(await verify.isDisabled()).toBe(true);
  expect(await driver.errors()).toEqual([]);
});

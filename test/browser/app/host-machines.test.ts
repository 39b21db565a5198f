// The machines of a host on the page that its bridge serves: listed, used, saved, restored, compared, forked, fetched into
// the browser and looked into there when the host is gone.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Locator, Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { VitrineError } from '../../../src/base/error.ts';
import { type LocalBridge, openLocalBridge } from '../../../src/host/bridge/local-bridge.ts';
import { configOf } from '../../../src/host/bridge/serve-config.ts';
import type { ServedBellRing } from '../../../src/host/qemu/bell-service.ts';
import { type Harness, openHarness } from '../harness.ts';
import { PageDriver } from './page-driver.ts';
import { buildPage } from './page-server.ts';
import { PULSE_LAUNCHER } from './pulse-launcher.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const OUT = fileURLToPath(new URL('../.out/', import.meta.url));

let folder = '';
let bridge: LocalBridge;
let harness: Harness;
let page: Page;
let host: Locator;
const complaints: string[] = [];

async function openBridge(): Promise<LocalBridge> {
  const config = configOf({ listen: '127.0.0.1:0', page: join(ROOT, 'dist/page') });
  return openLocalBridge(config, {
    store: join(folder, 'store'),
    version: '0.0.0-test',
    log: () => {},
    launcher: PULSE_LAUNCHER,
    runFolder: join(folder, 'run'),
  });
}

beforeAll(async () => {
  await buildPage();
  folder = await mkdtemp(join(tmpdir(), 'vitrine-host-page-'));
  bridge = await openBridge();
  await bridge.host.run?.({ name: 'pulse-one' }, {});
  harness = await openHarness();
  page = await harness.context.newPage();
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await new PageDriver(page).open(bridge.server.mintAddress());
  host = page.locator('.host');
  await host.getByRole('tab', { name: 'pulse-one' }).waitFor();
});

afterAll(async () => {
  await harness?.close();
  await bridge?.close();
  await rm(folder, { recursive: true, force: true });
});

const button = (name: string): Locator => host.getByRole('button', { name, exact: true });
const shown = (text: string | RegExp): Promise<void> => page.getByText(text).first().waitFor();

it('lists the machines of the host and what the session may do', async () => {
  await host.getByText('Connected to vitrine 0.0.0-test').waitFor();
  await host.getByText('you may observe, peek, save, restore, delete, export, admin').waitFor();
  await host.getByText('emulator v86').waitFor();
});

it('saves a machine, restores and compares it', async () => {
  await host.getByLabel('Label on the host').fill('a host snapshot');
  await button('Save pulse-one').click();
  await shown('pulse-one is saved on the host');
  await host.getByRole('option', { name: 'a host snapshot' }).waitFor();
  // The keyboard is where it was.
  expect(await button('Save pulse-one').evaluate((element) => element === document.activeElement)).toBe(true);
  await button('Compare with now').click();
  await host.getByText(/pages? of [\d,]+ differ/).waitFor();
  await button('Restore').click();
  await page.getByRole('dialog').getByRole('button', { name: 'Save first, then restore' }).click();
  await shown(/pulse-one is at “a host snapshot”/);
  await host.getByRole('option', { name: /before restoring a host snapshot/ }).waitFor();
  await page.waitForFunction(() => window.vitrine.host?.terminal?.text.includes('— at “a host snapshot” —'));
  await button('Pause').click();
  await button('Resume').waitFor();
  await button('Resume').click();
  await button('Pause').waitFor();
});

it('keeps the keyboard on a tab whose machine is another one', async () => {
  await host.getByRole('tab', { name: 'pulse-one' }).focus();
  await bridge.host.machine('pulse-one')!.pause!();
  await host.getByRole('tab', { name: '■ pulse-one' }).waitFor();
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute('data-machine'));
  expect(await focused()).toBe('pulse-one');
  await bridge.host.machine('pulse-one')!.resume!();
  await host.getByRole('tab', { name: '▶ pulse-one' }).waitFor();
});

it('types into the console', async () => {
  await host.locator('.terminal-pane textarea').focus();
  await page.keyboard.type('QZXWV');
  // Pulse sends back what it was told, perhaps with one of its own lines in between.
  await page.waitForFunction(
    () => window.vitrine.host?.terminal?.text.replaceAll(/[^QZXWV]/g, '') === 'QZXWV',
  );
});

it('shows memory of one instant, and of the snapshot', async () => {
  await host.getByLabel('Address, hex').fill('0x1000');
  await button('Peek').click();
  await host.getByText('one instant, paused').waitFor();
  await expect.poll(() => host.locator('.hex').textContent()).toContain('PULS');
  await button('Look inside').click();
  await host.getByText('stored bytes').waitFor();
});

it('tells what a guest asked for by itself, and a flood as one row', async () => {
  const ring = (asked: ServedBellRing) => PULSE_LAUNCHER.onRing?.('pulse-one', asked);
  const log = host.getByRole('log', { name: 'What the guest asked for by its doorbell' });
  expect(await log.isVisible()).toBe(false);
  const { snapshot } = await bridge.host.machine('pulse-one')!.machine!.save({ label: 'it asked' });
  ring({ word: 'save', answer: 'first', snapshot: snapshot.id, error: null, tookMs: 3 });
  await log.getByText(`save: saved ${snapshot.id.slice(0, 12)}`).waitFor();
  const error = new VitrineError('permission-denied', {});
  for (let count = 0; count < 500; count++) {
    ring({ word: 'reset', answer: 'refused', snapshot: null, error, tookMs: 0 });
  }
  await log.getByText('reset: refused, 500 times').waitFor();
  expect(await log.locator('.host-bell').count()).toBe(2);
  expect(await log.locator('code').textContent()).toBe('permission-denied');
  await page.screenshot({ path: `${OUT}host-bells.png`, fullPage: true });
});

it('deletes a snapshot of the host, by its button and by the key', async () => {
  const { machine } = bridge.host.machine('pulse-one')!;
  const ids = async () => (await bridge.host.engine.log()).map(({ id }) => id);
  const ways = {
    'in vain': () => button('Delete').click(),
    'for nothing': () => page.keyboard.press('Delete'),
  };
  for (const [label, remove] of Object.entries(ways)) {
    const { snapshot } = await machine!.save({ label });
    await host.getByRole('option', { name: label }).click();
    await remove();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    expect(await ids()).toContain(snapshot.id);
    await host.getByRole('option', { name: label }).click();
    await remove();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await shown(`“${label}” is gone from the host`);
    expect(await ids()).not.toContain(snapshot.id);
    await host.getByRole('option', { name: label }).waitFor({ state: 'detached' });
  }
});

it('forks a machine', async () => {
  await button('Fork').click();
  await host.getByRole('tab', { name: 'pulse-one-fork-1', selected: true }).waitFor();
  await host.getByRole('tab', { name: /pulse-one$/ }).click();
});

it('fetches a snapshot, which is there without the host', async () => {
  await host.getByRole('option', { name: /^a host snapshot/ }).click();
  await button('Fetch').click();
  await shown(/“a host snapshot” is in this browser: .* sent/);
  await page.screenshot({ path: `${OUT}host-machines.png`, fullPage: true });
  await button('Fetch').click();
  await shown('is in this browser already');
  await bridge.close();
  await host.getByText('The connection was lost; trying again').waitFor();
  await page.getByRole('treeitem', { name: 'a host snapshot' }).click();
  const bytes = await page.evaluate(async () => {
    const { workspace } = window.vitrine;
    const snapshot = workspace.snapshots.value.find(({ label }) => label === 'a host snapshot');
    const [found] = await workspace
      .requireEngine()
      .peek(snapshot?.id ?? '', [{ address: 0x1000, lengthBytes: 4 }]);
    return String.fromCharCode(...(found ?? []));
  });
  expect(bytes).toBe('SLUP'.split('').reverse().join(''));
  // What Chromium itself says of a connection that is refused.
  expect(complaints.filter((text) => !/ERR_CONNECTION_REFUSED|Failed to load resource/.test(text))).toEqual(
    [],
  );
});

// Rewind on the page: drag along a machine's past by keys, see it on its screen, go on from there, come back.

import type { Page } from 'playwright';
import { describe, expect, it } from 'vitest';
import { OUT, useBuiltPage } from './built-page.ts';
import { PageDriver } from './page-driver.ts';

/** A machine with much other work takes few epochs a second. */
const PATIENTLY = { timeout: 60_000 };

const SIZE = { width: 1280, height: 1000 };

describe.each([
  { isolated: true, mode: 'isolated' },
  { isolated: false, mode: 'copy' },
])('rewind on the page, $mode', ({ isolated, mode }) => {
  const built = useBuiltPage({ isolated });

  it('goes back, shows it, goes on from there, and comes back to what was left', async () => {
    const driver = await built.open(SIZE);
    const { page } = driver;
    await driver.waitForOutput('pulse', 'MEMORY OK');
    const pane = page.getByRole('region', { name: 'Rewind' });
    await pane.getByRole('button', { name: 'Record', exact: true }).click();
    const slider = pane.getByRole('slider', { name: 'Moment' });
    await slider.waitFor();
    const points = () =>
      page.evaluate(async () => {
        const machine = await window.vitrine.workspace.current.value!.joined;
        return (await machine.rewind.points()).length;
      });
    await expect.poll(points, PATIENTLY).toBeGreaterThan(3);
    const typed = (text: string, isThere: boolean) => typedOn(page, text, isThere);
    await page.getByLabel('Screen of pulse').focus();
    await page.keyboard.type('early');
    await typed('> early', true);
    await expect.poll(points, PATIENTLY).toBeGreaterThan(6);
    await pane.getByLabel('Bookmark', { exact: true }).fill('early typed');
    await pane.getByRole('button', { name: 'Bookmark this moment' }).click();
    await pane.getByLabel('Bookmarks', { exact: true }).waitFor();
    await page.getByLabel('Screen of pulse').focus();
    await page.keyboard.type('late');
    await typed('earlylate', true);
    const ticks = await driver.numberOnScreen('ticks');
    await driver.waitForNumber('ticks', ticks + 5);

    // By keys to the oldest moment, before anything was typed.
    await slider.focus();
    await page.keyboard.press('Home');
    await typed('> early', false);
    expect(await slider.getAttribute('aria-valuetext')).toMatch(/before the present/);
    expect(await pane.getByRole('button', { name: 'Go on from here' }).isEnabled()).toBe(true);
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await page.screenshot({ path: `${OUT}rewind-${mode}.png`, fullPage: true });

    // To the bookmark: held there, with its text.
    await pane.getByLabel('Bookmarks', { exact: true }).selectOption({ label: 'early typed' });
    await typed('> early', true);
    await typed('earlylate', false);
    const held = await driver.numberOnScreen('ticks');
    expect(held).toBeLessThanOrEqual(ticks);
    await pane.getByRole('button', { name: 'Go on from here' }).click();
    await driver.waitForNumber('ticks', held);
    await page.getByLabel('Screen of pulse').focus();
    await page.keyboard.type('other');
    await typed('earlyother', true);

    // The future that was left.
    const futures = pane.getByLabel('Other futures');
    await futures.waitFor();
    await futures.selectOption({ index: 1 });
    await typed('earlylate', true);
    await pane.getByRole('button', { name: 'Back to the present' }).click();
    await expect
      .poll(() => pane.getByRole('button', { name: 'Go on from here' }).isEnabled(), PATIENTLY)
      .toBe(false);
    await pane.getByRole('button', { name: 'Stop recording' }).click();
    await pane.getByRole('button', { name: 'Record', exact: true }).waitFor();
    const after = await driver.numberOnScreen('ticks');
    await driver.waitForNumber('ticks', after);
    expect(await driver.errors()).toEqual([]);
  });

  it('keeps the past across a reload', async () => {
    const driver = await built.open(SIZE);
    const { page } = driver;
    await driver.waitForOutput('pulse', 'MEMORY OK');
    const pane = page.getByRole('region', { name: 'Rewind' });
    await pane.getByRole('button', { name: 'Record', exact: true }).click();
    const points = () =>
      page.evaluate(async () => {
        const machine = await window.vitrine.workspace.current.value!.joined;
        return (await machine.rewind.points()).length;
      });
    await expect.poll(points, PATIENTLY).toBeGreaterThan(3);
    await page.getByLabel('Screen of pulse').focus();
    await page.keyboard.type('before');
    await typedOn(page, '> before', true);
    await expect.poll(points, PATIENTLY).toBeGreaterThan(6);
    await pane.getByLabel('Keep across reloads').check();
    await driver.snapshot('the past is kept up to here').waitFor();
    const kept = () =>
      page.evaluate(async () => (await window.vitrine.workspace.current.value!.joined).rewind.isStored());
    await expect.poll(kept, PATIENTLY).toBe(true);

    await page.reload();
    await driver.waitForOutput('pulse', 'MEMORY OK');
    const reopen = pane.getByRole('button', { name: 'Open the past that was kept' });
    await reopen.waitFor();
    // A machine that was open before the list of snapshots was read.
    await page.evaluate(() => {
      const { workspace } = window.vitrine;
      const machine = workspace.current.value;
      workspace.snapshots.set([]);
      workspace.current.set(null);
      workspace.current.set(machine);
    });
    await reopen.waitFor({ state: 'hidden' });
    await page.evaluate(() => window.vitrine.workspace.refresh());
    await reopen.click();
    await pane.getByRole('slider', { name: 'Moment' }).waitFor();
    await typedOn(page, '> before', true);
    expect(await points()).toBeGreaterThan(6);
    await pane.getByRole('slider', { name: 'Moment' }).focus();
    await page.keyboard.press('Home');
    await typedOn(page, '> before', false);
    await pane.getByRole('button', { name: 'Go on from here' }).click();
    const ticks = await driver.numberOnScreen('ticks');
    await driver.waitForNumber('ticks', ticks);
    expect(await driver.errors()).toEqual([]);
  });

  it('records a machine that was on show before there was an engine, and after it was lost', async () => {
    const page = await built.harness.context.newPage();
    const driver = new PageDriver(page);
    let letGo = (): void => {};
    const gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    await page.context().route(/assets\/engine-/, async (route) => {
      await gate;
      await route.continue();
    });
    await page.goto(built.origin);
    await driver.waitForOutput('pulse', 'MEMORY OK');
    const pane = page.getByRole('region', { name: 'Rewind' });
    const record = pane.getByRole('button', { name: 'Record', exact: true });
    await record.waitFor();
    expect(await record.isDisabled()).toBe(true);
    letGo();
    await record.click();
    await pane.getByRole('slider', { name: 'Moment' }).waitFor();
    await page.context().unrouteAll();

    const engine = page.workers().find((one) => one.url().includes('engine'));
    await engine?.evaluate(() => self.close());
    const notice = driver.notice('The engine was lost');
    await notice.waitFor();
    expect(await record.isDisabled()).toBe(true);
    await notice.getByRole('button', { name: 'Open it again' }).click();
    // The past lies where the tracker is: in the engine's worker, or in the guest's, where it goes on.
    if (isolated) await record.click();
    await pane.getByRole('slider', { name: 'Moment' }).waitFor();
    await driver.save('after the loss');
    await page.close();
  });
});

/** Waits until the screen on show holds a text, or does not. */
async function typedOn(page: Page, text: string, isThere: boolean): Promise<void> {
  await page.waitForFunction(
    ([wanted, expected]) =>
      document.querySelector('.machine:not([hidden]) .screen pre')?.textContent?.includes(wanted) ===
      expected,
    [text, isThere] as const,
  );
}

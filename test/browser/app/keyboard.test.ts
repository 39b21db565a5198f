// The page by the keyboard: what was used has the keyboard again when its work is done, or what took its place; and what was asked
// for is in view.

import type { Page } from 'playwright';
import { expect, it } from 'vitest';
import { useBuiltPage } from './built-page.ts';

const built = useBuiltPage();

it('keeps its place where a control is greyed out or taken away by what it does', async () => {
  const driver = await built.open();
  const { page } = driver;
  await driver.save('one');
  await driver.snapshot('one').click();
  const parent = page.getByRole('button', { name: 'Compare with parent' });
  expect(await parent.isDisabled()).toBe(true);
  expect(await parent.getAttribute('title')).toBe('It was made after no other one.');

  await press(page, 'Restore pulse');
  await page.getByRole('button', { name: 'Restore without saving' }).focus();
  await page.keyboard.press('Enter');
  // A dialog that closes gives it back at once; what counts is who has it when the work is done.
  await page.getByText('pulse is at “one”').waitFor();
  await waitForFocus(page, 'Restore pulse');

  await press(page, 'Compare with now');
  // A machine that had no turn since it was restored has no map: it is equal.
  await page.locator('.region-line').first().waitFor();
  await waitForFocus(page, 'Compare with now');

  await driver.save('two');
  await driver.snapshot('two').click();
  await press(page, 'Delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).press('Enter');
  await driver.snapshot('two').waitFor({ state: 'detached' });
  await page.waitForFunction(() => document.activeElement?.closest('.section-snapshots') !== null);

  await press(page, 'Record');
  await page.locator('.moment input:focus').waitFor();
  await press(page, 'Stop recording');
  await waitForFocus(page, 'Record');

  await driver.openGuest('Flat', 'flat');
  await page.locator('.machine:visible').getByRole('button', { name: 'Close' }).press('Enter');
  await page.waitForFunction(() => document.activeElement?.matches('.machines [role="tab"]'));
  await page.close();
});

it('shows what was asked for, also where it lies out of sight', async () => {
  const driver = await built.open({ width: 1280, height: 800 });
  const { page } = driver;
  await driver.save('far');
  await driver.snapshot('far').click();
  for (const [name, shown] of [
    ['Look inside', '.hex'],
    ['Compare with now', '.region-line'],
  ] as const) {
    await page.getByRole('button', { name }).scrollIntoViewIfNeeded();
    await page.evaluate(() => window.scrollTo(0, 0));
    await page.getByRole('button', { name }).dispatchEvent('click');
    await page.waitForFunction((selector) => {
      const box = document.querySelector(selector)?.getBoundingClientRect();
      return box !== undefined && box.height > 0 && box.top >= 0 && box.bottom <= window.innerHeight;
    }, shown);
  }
  expect(await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)).toBe(0);
  await page.close();
});

async function press(page: Page, name: string): Promise<void> {
  // What is greyed out takes no key: the one that has the keyboard would.
  await page.getByRole('button', { name, exact: true, disabled: false }).first().press('Enter');
}

async function waitForFocus(page: Page, name: string): Promise<void> {
  await page.waitForFunction(
    (wanted) =>
      document.activeElement instanceof HTMLButtonElement && document.activeElement.textContent === wanted,
    name,
  );
}

// The page's look in a browser: as the system has it, as it was chosen, over a reload without a flash, and in another tab.

import type { Page } from 'playwright';
import { expect, it } from 'vitest';
import { useBuiltPage } from './built-page.ts';

const page = useBuiltPage();

const LIGHT = 'rgb(238, 241, 246)';
const DARK = 'rgb(15, 19, 27)';

it('follows the system, and then what was chosen, in terminals and maps too', async () => {
  const driver = await page.open();
  const tab = driver.page;
  await tab.emulateMedia({ colorScheme: 'dark' });
  expect(await groundOf(tab)).toBe(DARK);
  await driver.save('one');
  await tab.getByRole('button', { name: 'Compare with now' }).click();
  const map = tab.locator('.page-map').first();
  await map.waitFor();
  const darkMap = await pictureOf(tab);

  await tab.emulateMedia({ colorScheme: 'light' });
  expect(await groundOf(tab)).toBe(LIGHT);
  await waitForTerminal(tab, 'rgb(247, 249, 252)');
  expect(await pictureOf(tab)).not.toBe(darkMap);

  const control = tab.getByLabel('Look', { exact: true });
  await control.selectOption('dark');
  expect(await groundOf(tab)).toBe(DARK);
  await waitForTerminal(tab, 'rgb(11, 14, 20)');
  expect(await pictureOf(tab)).toBe(darkMap);
  await control.selectOption('system');
  expect(await groundOf(tab)).toBe(LIGHT);
  await tab.close();
});

it('is remembered from before the first paint on, and is the same in every tab', async () => {
  const { page: tab } = await page.open();
  await tab.emulateMedia({ colorScheme: 'dark' });
  await tab.getByLabel('Look', { exact: true }).selectOption('light');

  // Without the page's own code: what a browser paints before that has run.
  await tab.route('**/assets/index-*.js', (route) => route.abort());
  await tab.reload({ waitUntil: 'load' });
  expect(await groundOf(tab)).toBe(LIGHT);
  await tab.unroute('**/assets/index-*.js');

  const other = await page.open();
  await other.page.emulateMedia({ colorScheme: 'dark' });
  expect(await groundOf(other.page)).toBe(LIGHT);
  expect(await other.page.getByLabel('Look', { exact: true }).inputValue()).toBe('light');
  await tab.reload();
  await tab.getByLabel('Look', { exact: true }).selectOption('system');
  await other.page.waitForFunction((dark) => getComputedStyle(document.body).backgroundColor === dark, DARK);
  expect(await other.page.getByLabel('Look', { exact: true }).inputValue()).toBe('system');
  await other.page.close();
  await tab.close();
});

function groundOf(tab: Page): Promise<string> {
  return tab.evaluate(() => getComputedStyle(document.body).backgroundColor);
}

function pictureOf(tab: Page): Promise<string> {
  return tab.evaluate(() => document.querySelector<HTMLCanvasElement>('.page-map')!.toDataURL());
}

/** The terminal draws in a frame of its own. */
async function waitForTerminal(tab: Page, ground: string): Promise<void> {
  await tab.waitForFunction((wanted) => {
    const parts = document.querySelectorAll('.terminal-pane .xterm-scrollable-element, .xterm-viewport');
    return [...parts].some((part) => getComputedStyle(part).backgroundColor === wanted);
  }, ground);
}

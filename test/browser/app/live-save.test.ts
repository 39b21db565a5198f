// Live saves on the page in Chromium: a guest with a barrier runs on and the figures show what that cost; another one is
// stopped and the page says why. Both snapshots are of one instant.

import { expect, it } from 'vitest';
import { OUT, useBuiltPage } from './built-page.ts';

const built = useBuiltPage();

it('saves live where the guest can, and says why where it cannot', async () => {
  const driver = await built.open();
  const { page } = driver;
  const report = page.locator('.saving .report');
  const figure = (name: string) =>
    report
      .locator('.figures div')
      .filter({ has: page.getByText(name, { exact: true }) })
      .locator('dd');

  await driver.openGuest('Flat', 'flat');
  await driver.save('at rest');
  expect(await figure('ring at most').count(), 'not live unless asked for').toBe(0);
  await page.locator('.save').getByLabel('Live').check();
  await driver.save('live');
  expect(await figure('guest paused').textContent()).toMatch(/^[\d.]+ ms$/);
  expect(await figure('longest stall').textContent()).toMatch(/^[\d.]+ ms$/);
  expect(await figure('copied aside').textContent()).toMatch(/^[\d,]+ pages?/);
  expect(await figure('ring at most').textContent()).toMatch(/ of 16 MiB$|of 1 MiB$/);
  await page.screenshot({ path: `${OUT}live-save.png`, fullPage: true });
  // A snapshot of one instant: it goes into a guest, which then has just that memory.
  const same = await page.evaluate(async () => {
    const { workspace } = window.vitrine;
    const flat = workspace.find('flat')!;
    await flat.setRunning(false);
    const snapshot = workspace.snapshots.value.find(({ label }) => label === 'live')!;
    await workspace.restore(flat, snapshot.id);
    const range = { region: 'ram', offsetBytes: 0, lengthBytes: 1 << 20 };
    const [stored] = await workspace.requireEngine().peek(snapshot.id, [range]);
    const { bytes } = await (await flat.joined).peek([range]);
    return stored!.every((byte, at) => byte === bytes[0]![at]);
  });
  expect(same).toBe(true);

  await driver.openGuest('MicroPython', 'micropython');
  await driver.waitForOutput('micropython', '>>>');
  await driver.save('cannot');
  await report.getByText('Not live, the guest was stopped: the guest has no write barrier.').waitFor();
  expect(await figure('ring at most').count()).toBe(0);
  expect(await driver.errors()).toEqual([]);
});

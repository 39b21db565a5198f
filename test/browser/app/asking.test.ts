// A guest's own program asks for a snapshot, on the page in Chromium: not before a person lets it, then Python saves itself and
// goes back, the list has the snapshot and the bar says what came of it; and not after the switch is off again.

import { expect, it } from 'vitest';
import { OUT, useBuiltPage } from './built-page.ts';

const built = useBuiltPage();

it('lets a guest ask for snapshots while a person allows it', async () => {
  const driver = await built.open();
  const { page } = driver;
  await driver.openGuest('MicroPython', 'micropython');
  await driver.waitForOutput('micropython', '>>>');
  // One snapshot a second and no more: Python waits as long before it asks.
  const ring = (word: string) =>
    driver.type(`import time; time.sleep(1.1)\ropen('/dev/vitrine','w').write('${word}')\r`);
  const read = () => driver.type("'it read ' + open('/dev/vitrine').read()\r");
  const mayAsk = page.locator('.machine:visible').getByLabel('May ask to be saved');
  const said = page.locator('.asking:visible').getByRole('status');

  await ring('save');
  await read();
  await driver.waitForOutput('micropython', "'it read nobody'");

  await mayAsk.check();
  await said.getByText('It has not asked yet.').waitFor();
  await ring('reset');
  await said.getByText('Asked to go back: refused').waitFor();
  await driver.type("kept = 'before'\r");
  await ring('save');
  await said.getByText(/Saved as \w+, as it asked/).waitFor();
  await driver.snapshot('asked for by the guest').waitFor();
  await read();
  await driver.waitForOutput('micropython', "'it read saved'");
  await driver.type("kept = 'after'\r");
  await ring('reset');
  await said.getByText(/Back at \w+, as it asked/).waitFor();
  await driver.type("'it was ' + kept\r");
  await driver.waitForOutput('micropython', "'it was before'");
  await page.screenshot({ path: `${OUT}asking.png`, fullPage: true });

  await mayAsk.uncheck();
  await ring('save');
  await read();
  await driver.waitForOutput('micropython', "'it read nobody'", 2);
  expect(await page.evaluate(() => window.vitrine.workspace.snapshots.value.length)).toBe(1);
  expect(await driver.errors()).toEqual([]);
});

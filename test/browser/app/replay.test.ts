// Replay on the page in Chromium: a snapshot of a live machine is run on twice in a machine of its own; a machine that does the
// same again is gone back and forth over, an instruction at a time.

import { expect, it } from 'vitest';
import { OUT, useBuiltPage } from './built-page.ts';

const built = useBuiltPage();

it('verifies snapshots of live machines by replay, where their kind can', async () => {
  const driver = await built.open();
  const { page } = driver;
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

it('goes back and forth over what a machine did', async () => {
  const driver = await built.open();
  const { page } = driver;
  const pane = page.locator('.section-steps');
  await pane.getByText('open “Pulse, step by step”').waitFor();
  // From a snapshot of a live machine, whose number it goes on from.
  await driver.waitForNumber('ticks', 3);
  const saved = await driver.numberOnScreen('ticks');
  await driver.save('live');
  await driver.choose('live');
  await driver.act('Step from here');
  await driver.notice('pulse-steps is at “live”').waitFor();
  await page.getByRole('tab', { name: 'pulse-steps', exact: false, selected: true }).waitFor();
  await driver.waitForNumber('ticks', saved);
  await pane.getByRole('button', { name: 'Begin here' }).click();
  const hold = pane.getByRole('button', { name: 'Hold it' });
  await hold.waitFor();
  const atBeginning = await driver.numberOnScreen('ticks');
  await driver.waitForNumber('ticks', atBeginning + 5);
  await hold.click();
  const place = pane.getByRole('status', { name: 'Place' });
  const placeIs = async (wanted: RegExp) => {
    await place.filter({ hasText: wanted }).waitFor();
    const [, steps, end] = /step ([\d,]+) of ([\d,]+)/.exec((await place.textContent()) ?? '') ?? [];
    return { steps: Number(steps?.replaceAll(',', '')), end: Number(end?.replaceAll(',', '')) };
  };
  const registers = () => pane.getByLabel('Processor').textContent();
  const step = (title: string) => pane.getByTitle(title, { exact: true }).click();
  const held = await placeIs(/step/);
  expect(held.steps).toBe(held.end);
  expect(held.end).toBeGreaterThan(65_536);
  const ticks = await driver.numberOnScreen('ticks');

  // To the middle of it, where the machine may sleep; from the end of that one instruction on and back again.
  const half = Math.floor(held.end / 2);
  await pane.getByLabel('Step', { exact: true }).fill(String(half));
  await pane.getByRole('button', { name: 'Go there' }).click();
  await expect.poll(async () => (await placeIs(/step/)).steps).toBeLessThan(held.end);
  // Where it sleeps, a step is time alone, and some steps on an instruction may be one: what steps do is proven in `test/guest/v86`.
  let middle = await placeIs(/step/);
  let before = await registers();
  let after = before;
  for (let tries = 0; tries < 20 && after === before; tries++) {
    middle = await placeIs(/step/);
    before = await registers();
    await step('1 step on');
    const next = await placeIs(new RegExp(`step ${(middle.steps + 1).toLocaleString('en')} of`));
    expect(next.steps).toBe(middle.steps + 1);
    after = await registers();
  }
  await page.screenshot({ path: `${OUT}steps.png`, fullPage: true });
  await step('1 step back');
  await placeIs(new RegExp(`step ${middle.steps.toLocaleString('en')} of`));
  expect(await registers()).toBe(before);
  // The screen is of this step.
  await expect.poll(() => driver.numberOnScreen('ticks')).toBeLessThan(ticks);
  await pane.getByRole('button', { name: 'Run on from here' }).click();
  await driver.waitForNumber('ticks', ticks);
  expect(await driver.errors()).toEqual([]);
});

// The fuzzing panel of the page in Chromium: it finds the bug, shows a rate, and stands still when it is stopped.

import { expect, it } from 'vitest';
import { fuzzTargetModule } from '../../../src/testing/fuzz-target.ts';
import { OUT, useBuiltPage } from './built-page.ts';

const built = useBuiltPage();

it('fuzzes until it is stopped, and what it finds crashes the parser', async () => {
  const driver = await built.open();
  const { page } = driver;
  const panel = page.locator('.section-fuzzing');
  const found = async () =>
    Number(/found ([\d,]+)/.exec((await panel.getByRole('status').textContent()) ?? '')?.[1] ?? 0);
  expect(page.workers().some((worker) => worker.url().includes('fuzz'))).toBe(false);
  await panel.getByRole('button', { name: 'Start' }).click();
  await expect.poll(found, { timeout: 60_000 }).toBeGreaterThan(1);
  expect(Number((await panel.locator('.rate').textContent())?.replaceAll(',', ''))).toBeGreaterThan(0);
  await panel.scrollIntoViewIfNeeded();
  await page.screenshot({ path: `${OUT}fuzzing.png`, fullPage: true });

  const findings = (await panel.getByLabel('Findings').textContent()) ?? '';
  const crasher = /after \d+ documents: ([0-9a-f ]+)\n\d+ documents in/.exec(findings)?.[1]?.split(' ') ?? [];
  expect(crasher.length, findings).toBeGreaterThan(4);
  expect(await crashes(crasher.map((byte) => Number.parseInt(byte, 16)))).toBe(true);
  expect(await crashes([0x56, 0x54, 0x52, 2, 0])).toBe(false);

  await panel.getByRole('button', { name: 'Stop' }).click();
  await panel.getByRole('button', { name: 'Start' }).waitFor();
  await expect.poll(() => page.workers().some((worker) => worker.url().includes('fuzz'))).toBe(false);
  expect(await driver.errors()).toEqual([]);
});

/** Whether the parser traps at a document, without anything of ours around it. */
async function crashes(document: readonly number[]): Promise<boolean> {
  const { instance } = await WebAssembly.instantiate(fuzzTargetModule());
  const { memory, parse } = instance.exports as {
    memory: WebAssembly.Memory;
    parse(lengthBytes: number): number;
  };
  new Uint8Array(memory.buffer).set(document, 0x1000);
  try {
    parse(document.length);
    return false;
  } catch {
    return true;
  }
}

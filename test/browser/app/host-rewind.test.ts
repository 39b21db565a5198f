// The recent past of a host machine on the page: recorded, dragged along by keys, gone on from, come back from, and only looked at by who
// may do no more. The machine is QEMU's, with Pulse as its program: what its memory says is exact at every point.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Locator, Page } from 'playwright';
import { beforeAll, describe, expect, it } from 'vitest';
import { PULSE, PULSE_FACTS, pulseRom } from '../../../src/guest/pulse/pulse.ts';
import { runCommand } from '../../host/cli/shell.ts';
import { OUT } from './built-page.ts';
import { PageDriver } from './page-driver.ts';
import { useQemuBridge } from './qemu-bridge.ts';

/** A host with other work takes few points a second. */
const PATIENTLY = { timeout: 60_000 };

// `npm test -- --without-qemu` says aloud that these are left out.
describe.skipIf(process.env.VITRINE_WITHOUT_QEMU === '1')('the past of a host machine on the page', () => {
  const used = useQemuBridge(
    async (folder) => {
      const bios = join(folder, 'pulse.bin');
      await writeFile(bios, pulseRom());
      // Pulse knows the old interrupt controllers alone.
      return { name: 'desk', memoryBytes: 16 << 20, arguments: ['-cpu', 'qemu64,-apic', '-bios', bios] };
    },
    { tokens: [{ name: 'looker', access: { desk: ['observe', 'peek'] } }] },
  );
  let page: Page;
  let pane: Locator;
  let slider: Locator;

  beforeAll(async () => {
    page = await used.harness.context.newPage();
    await new PageDriver(page).open(used.bridge.server.mintAddress());
    pane = page.locator('.host-rewind');
    slider = pane.getByRole('slider', { name: 'Moment' });
  });

  const button = (name: string): Locator => pane.getByRole('button', { name, exact: true });
  /** Pages that Pulse had written, of one instant. */
  const loops = async (): Promise<number> => {
    const [bytes] = await used.bridge.host
      .machine('desk')!
      .machine!.peek([{ address: PULSE.magic, lengthBytes: 64 }])
      .then((peek) => peek.bytes);
    const words = Buffer.from(bytes!);
    expect(words.readUInt32LE(0)).toBe(PULSE_FACTS.magic);
    return words.readUInt32LE(PULSE.loops - PULSE.magic);
  };
  const untilMore = (than: number) => expect.poll(loops, PATIENTLY).toBeGreaterThan(than);
  const points = async (): Promise<number> =>
    (await used.bridge.host.recordings!.of('desk')).book.points.length;
  const state = () => used.bridge.host.machine('desk')?.state;
  const here = (): Promise<string | null> => slider.getAttribute('aria-valuetext');

  it('is recorded when that is asked for, as often as that', async () => {
    await expect.poll(() => loops().catch(() => 0), PATIENTLY).toBeGreaterThan(3);
    await pane.getByText('The host can keep the recent past').waitFor();
    expect(await slider.isVisible()).toBe(false);
    await pane.getByLabel('A point every, seconds').fill('0.3');
    await pane.getByLabel('Budget, MiB').fill('64');
    await button('Record').click();
    await pane.getByText('Rewind: recording').waitFor();
    await expect.poll(points, PATIENTLY).toBeGreaterThan(4);
    await slider.waitFor();
    await pane
      .getByText(/\d points? in .* of 64 MiB, and one whole state; paused .* ms for the last one/)
      .waitFor();
    expect(await pane.getByLabel('A point every, seconds').inputValue()).toBe('0.3');
    expect(await button('Go on from here').isDisabled()).toBe(true);
    // They have a line of their own.
    const listed = page.locator('.host .snapshots');
    await listed.getByText('No snapshot of this machine on the host yet.').waitFor();
    await listed.getByLabel(/Also \d+ points? of rewind/).check();
    await listed.getByRole('option').first().waitFor();
    await listed.getByLabel(/Also \d+ points? of rewind/).uncheck();
  });

  it('is gone back to by keys, held there, and gone on from', async () => {
    const before = await loops();
    await slider.focus();
    await page.keyboard.press('Home');
    await expect.poll(here, PATIENTLY).toMatch(/^held at .*, .* before the last point/);
    expect(state()).toBe('paused');
    const first = await loops();
    expect(first).toBeLessThan(before);
    expect(await slider.evaluate((element) => element === document.activeElement)).toBe(true);
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    // Named is where it goes, also while it is on its way.
    await pane.getByLabel('Bookmark', { exact: true }).fill('as it began');
    await button('Bookmark this moment').click();
    await pane.getByLabel('Bookmarks', { exact: true }).waitFor();
    const third = await loops();
    await page.screenshot({ path: `${OUT}host-rewind.png`, fullPage: true });
    await button('Go on from here').click();
    await untilMore(third);
    await expect.poll(here, PATIENTLY).toMatch(/^the present/);
    expect(state()).toBe('running');
    await page.waitForFunction(() =>
      /— went on from [\d:]+ —/.test(window.vitrine.host?.terminal?.text ?? ''),
    );
    // What it did the first time is another future, and its end is where it was taken back from.
    const futures = pane.getByLabel('Other futures');
    await futures.waitFor();
    await expect.poll(() => futures.locator('option').count(), PATIENTLY).toBe(2);
    await futures.selectOption({ index: 1 });
    await expect.poll(state, PATIENTLY).toBe('paused');
    await expect.poll(here, PATIENTLY).toMatch(/^held at .*, the last point/);
    expect(await loops()).toBeGreaterThanOrEqual(before);
    // The bookmark: to the byte where it was named.
    await pane.getByLabel('Bookmarks', { exact: true }).selectOption({ label: 'as it began' });
    await expect.poll(here, PATIENTLY).toContain('“as it began”');
    expect(await loops()).toBe(third);
    await button('Back to the present').click();
    await expect.poll(here, PATIENTLY).toMatch(/^the present/);
    await untilMore(third);
  });

  it('is shown, and not to be used, by who may only look', async () => {
    const { out } = await runCommand(['open', '--for', 'looker'], used.environment);
    const looker = await used.harness.context.newPage();
    await new PageDriver(looker).open(out.trim());
    const seen = looker.locator('.host-rewind');
    await seen.getByText('going back needs the permission restore').waitFor();
    await seen.getByText('Recording and bookmarks need the permission save').waitFor();
    for (const name of ['Stop recording', 'Change', 'Go on from here', 'Bookmark this moment']) {
      expect(await seen.getByRole('button', { name, exact: true }).isDisabled(), name).toBe(true);
    }
    expect(await seen.getByRole('slider', { name: 'Moment' }).isDisabled()).toBe(true);
    expect(await seen.getByLabel('Bookmarks', { exact: true }).isDisabled()).toBe(true);
    await looker.close();
  });

  it('is there again when the host is, and ends when that is asked for', async () => {
    await slider.focus();
    await page.keyboard.press('Home');
    await expect.poll(here, PATIENTLY).toMatch(/^held/);
    const held = await loops();
    await used.restart();
    // Another port: the page is another one, and finds the machine held.
    const address = used.bridge.server.mintAddress();
    await pane.getByText('the host is not reached').waitFor();
    expect(await slider.isDisabled()).toBe(true);
    await page.goto(address);
    await slider.waitFor();
    expect(state()).toBe('paused');
    await button('Go on from here').click();
    await untilMore(held);
    await button('Stop recording').click();
    await pane.getByText('Rewind: not recording').waitFor();
    await button('Forget this past …').click();
    await page
      .getByRole('dialog')
      .getByText(/cannot be brought back. 1 bookmark of it stays/)
      .waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Forget it' }).click();
    await expect.poll(points, PATIENTLY).toBe(1);
    await page.locator('.host .snapshots').getByRole('option', { name: 'as it began' }).waitFor();
    // Nobody records it: what it did is lost, or saved first.
    await pane.getByLabel('Bookmarks', { exact: true }).selectOption({ label: 'as it began' });
    await page.getByRole('dialog').getByRole('button', { name: 'Save first, then go back' }).click();
    await expect.poll(here, PATIENTLY).toMatch(/^held/);
    const back = await loops();
    await button('Back to the present').click();
    await untilMore(Math.max(back, held));
    await page.locator('.host .snapshots').getByRole('option', { name: 'before looking back' }).waitFor();
    expect(await page.evaluate(() => window.vitrine.notices.errors.map(String))).toEqual([]);
  });
});

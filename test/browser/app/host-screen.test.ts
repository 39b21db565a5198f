// The picture of QEMU's machine on the page that its bridge serves: seen, typed into, and looked at alone by who may not type.

import type { Locator, Page } from 'playwright';
import { describe, expect, it } from 'vitest';
import { runCommand } from '../../host/cli/shell.ts';
import { OUT } from './built-page.ts';
import { PageDriver } from './page-driver.ts';
import { useQemuBridge } from './qemu-bridge.ts';

/** The firmware waits for Escape, as long as it can: a minute. */
const MENU = ['-vga', 'std', '-boot', 'menu=on,splash-time=65535'];
/** More pixels than a cursor has, less than the firmware's menu. */
const MENU_PIXELS = 500;

// `npm test -- --without-qemu` says aloud that these are left out.
describe.skipIf(process.env.VITRINE_WITHOUT_QEMU === '1')('the screen of a host machine on the page', () => {
  const used = useQemuBridge(
    { name: 'desk', memoryBytes: 64 << 20, arguments: MENU },
    { tokens: [{ name: 'looker', access: { desk: ['observe', 'peek'] } }] },
  );

  async function openPage(address: string): Promise<{ page: Page; canvas: Locator; complaints: string[] }> {
    const page = await used.harness.context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => {
      // A bridge without images of guests answers 404 to the page's question whether there are any.
      const isKnown = /404/.test(message.text());
      if (message.type() === 'error' && !isKnown) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    await new PageDriver(page).open(address);
    const canvas = page.locator('.host-screen canvas');
    await canvas.waitFor();
    return { page, canvas, complaints };
  }

  /** As "vitrine open --for" asks for it. */
  async function addressFor(name: string): Promise<string> {
    const { environment } = used;
    const { out, error } = await runCommand(['open', '--for', name], environment);
    expect(error).not.toContain('vitrine:');
    return out.trim();
  }

  const lit = (canvas: Locator): Promise<number> =>
    canvas.evaluate((element) => {
      const { width, height } = element as HTMLCanvasElement;
      const context = (element as HTMLCanvasElement).getContext('2d');
      if (context === null || width === 0) return 0;
      const { data } = context.getImageData(0, 0, width, height);
      let count = 0;
      for (let at = 0; at < data.length; at += 4) if (data[at]! | data[at + 1]! | data[at + 2]!) count++;
      return count;
    });

  it('is seen, and typed into by who may', async () => {
    const looker = await openPage(await addressFor('looker'));
    await looker.page.getByText('Screen of desk. You may look.').waitFor();
    await expect.poll(() => lit(looker.canvas), { timeout: 60_000 }).toBeGreaterThan(1_000);
    const waiting = await lit(looker.canvas);
    // The page gives it no keyboard; what the bridge does with a viewer that sends keys is in test/qemu/screen.test.ts.
    await looker.canvas.click();
    await looker.page.keyboard.press('Escape');
    await looker.page.close();

    const owner = await openPage(used.bridge.server.mintAddress());
    await expect.poll(() => lit(owner.canvas), { timeout: 60_000 }).toBeGreaterThan(1_000);
    expect(await lit(owner.canvas)).toBeLessThan(waiting + MENU_PIXELS);
    await owner.canvas.click();
    await owner.page.keyboard.press('Escape');
    await expect.poll(() => lit(owner.canvas), { timeout: 60_000 }).toBeGreaterThan(waiting + MENU_PIXELS);
    await owner.page.screenshot({ path: `${OUT}host-screen.png`, fullPage: true });
    expect(owner.complaints).toEqual([]);
    expect(looker.complaints).toEqual([]);
  });

  it('is seen and typed into at the next bridge, which took its machine over', async () => {
    const before = await openPage(used.bridge.server.mintAddress());
    await expect.poll(() => lit(before.canvas), { timeout: 60_000 }).toBeGreaterThan(1_000);
    const menu = await lit(before.canvas);
    // One looks at it when its bridge ends.
    await used.restart();
    expect(used.bridge.host.machine('desk')?.state).toBe('running');
    await before.page.close();
    const owner = await openPage(used.bridge.server.mintAddress());
    await expect.poll(() => lit(owner.canvas), { timeout: 60_000 }).toBe(menu);
    // The menu of the firmware: the first choice boots from what there is.
    await owner.canvas.click();
    await owner.page.keyboard.press('1');
    await expect.poll(() => lit(owner.canvas), { timeout: 60_000 }).not.toBe(menu);
    await owner.page.screenshot({ path: `${OUT}host-screen-next.png`, fullPage: true });
    expect(owner.complaints).toEqual([]);
  });

  it('is not loaded by a page that shows none', async () => {
    const page = await used.harness.context.newPage();
    const loaded: string[] = [];
    page.on('request', (request) => loaded.push(new URL(request.url()).pathname));
    await used.bridge.host.machine('desk')?.stop?.();
    await new PageDriver(page).open(used.bridge.server.mintAddress());
    await page.locator('.host').getByText('desk is stopped').waitFor();
    expect(loaded.some((path) => /host-pane-/.test(path))).toBe(true);
    expect(loaded.filter((path) => /rfb-/.test(path))).toEqual([]);
  });
});

// The page in Chromium, built, as a person uses it; served isolated and not, since an embedder may be able to do neither
// or only one.

import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Harness, openHarness } from '../harness.ts';
import { PageDriver } from './page-driver.ts';
import { buildPage, type PageServer, servePage } from './page-server.ts';

const OUT = fileURLToPath(new URL('../.out/', import.meta.url));

beforeAll(buildPage);

describe.each([
  { isolated: true, mode: 'isolated' },
  { isolated: false, mode: 'copy' },
])('the page, $mode', ({ isolated, mode }) => {
  let server: PageServer;
  let harness: Harness;

  beforeAll(async () => {
    server = await servePage({ isolated });
    harness = await openHarness();
  });

  afterAll(async () => {
    await harness?.close();
    await server?.close();
  });

  /** A tab on the page; earlier ones are closed, since two tabs share a store. */
  async function open(): Promise<PageDriver> {
    for (const page of harness.context.pages().slice(1)) await page.close();
    const page = await harness.context.newPage();
    await page.setViewportSize({ width: 1280, height: 800 });
    const driver = new PageDriver(page);
    await driver.open(server.origin);
    return driver;
  }

  it('runs Pulse at once and says what it runs on', async () => {
    const driver = await open();
    const { page } = driver;
    await driver.waitForOutput('pulse', 'MEMORY OK');
    await driver.waitForNumber('ticks', 0);
    const ticks = await driver.numberOnScreen('ticks');
    await driver.waitForNumber('ticks', ticks);
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(isolated);
    const platform = await page.getByLabel('What this runs on').textContent();
    expect(platform).toContain(`mode ${mode}`);
    expect(platform).toContain('kernels simd');
    expect(platform).toContain(isolated ? 'memory shared' : 'memory private');
    expect(await driver.errors()).toEqual([]);
    const figures = await page.evaluate(() => ({
      firstPaintMs: performance.getEntriesByName('first-paint')[0]?.startTime,
      firstFrameMs: performance.getEntriesByName('vitrine-first-frame')[0]?.startTime,
      longTasks: window.vitrineStats.longTasks.filter(({ kind }) => kind === 'task'),
    }));
    console.info(`${mode}: ${JSON.stringify(figures)}`);
    expect(figures.firstFrameMs).toBeGreaterThan(0);
  });

  it('takes keys at the screen and text at the terminal', async () => {
    const driver = await open();
    await driver.waitForOutput('pulse', 'MEMORY OK');
    await driver.page.getByLabel('Screen of pulse').focus();
    await driver.page.keyboard.type('vitrine');
    await driver.page.waitForFunction(() =>
      document.querySelector('.machine:not([hidden]) .screen pre')?.textContent?.includes('> vitrine'),
    );
    await driver.type('?');
    await driver.waitForOutput('pulse', 'faster');
    await driver.page.keyboard.press('Shift+Tab');
    const held = await driver.page.evaluate(() => document.activeElement?.closest('.terminal-pane') !== null);
    expect(held, 'Shift+Tab leaves the terminal').toBe(false);
  });

  it('shows live bytes, and says how it reads them', async () => {
    const driver = await open();
    await driver.waitForOutput('pulse', 'MEMORY OK');
    const how = isolated ? 'read while it runs, not one instant' : 'one instant, guest paused';
    await driver.page.getByText(how).waitFor();
    expect(await driver.errors()).toEqual([]);
  });

  it('stops and runs', async () => {
    const driver = await open();
    const { page } = driver;
    await driver.waitForOutput('pulse', 'up 1');
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await page.getByRole('button', { name: 'Run', exact: true }).waitFor();
    const [first, second] = await page.evaluate(async () => {
      const machine = await window.vitrine.workspace.current.value!.joined;
      const ticks = { address: 0x1008, lengthBytes: 4 };
      const look = async () =>
        new DataView((await machine.peek([ticks])).bytes[0]!.buffer).getUint32(0, true);
      const before = await look();
      // A save takes longer than a tick, and a stopped machine stays stopped through it.
      const { pauseMs } = await machine.save({ label: 'stopped' });
      return [before, await look(), pauseMs];
    });
    expect(second).toBe(first);
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await driver.waitForNumber('ticks', first!);
  });

  it('shows which pages differ and their bytes', async () => {
    const driver = await open();
    const { page } = driver;
    await driver.waitForOutput('pulse', 'MEMORY OK');
    await driver.save('before');
    expect(await page.locator('.hex .row').first().textContent()).toContain('50');
    expect(await page.locator('.hex .characters').first().textContent()).toMatch(/^PULS/);
    await driver.waitForNumber('ticks', (await driver.numberOnScreen('ticks')) + 10);
    await driver.choose('before');
    await driver.act('Compare with now');
    const map = page.getByRole('img', { name: /^Map of ram: \d/ });
    await map.waitFor();
    expect(
      Number(/ram: ([\d,]+) pages?/.exec((await map.getAttribute('aria-label')) ?? '')?.[1]),
    ).toBeGreaterThan(0);
    await map.focus();
    await page.keyboard.press('Enter');
    await page.locator('.hex .marked').first().waitFor();
    expect(await page.getByLabel('compared with').locator('option:checked').textContent()).toContain(
      'before',
    );
    await page.screenshot({ path: `${OUT}page-${mode}.png`, fullPage: true });
    expect(await driver.errors()).toEqual([]);
  });

  it('brings Python back after the browser was closed, and forks it', async () => {
    const driver = await open();
    await driver.openGuest('MicroPython', 'micropython');
    await driver.waitForOutput('micropython', '>>>');
    await driver.type('x = "first"\n');
    await driver.waitForOutput('micropython', '>>>', 2);
    await driver.save('x is first');
    await driver.type('x = "second"\n');
    await driver.waitForOutput('micropython', '>>>', 3);
    await driver.save('x is second');

    await harness.restart();
    const again = await open();
    await again.page.getByRole('button', { name: 'Resume micropython' }).click();
    await again.notice('micropython goes on from “x is second”').waitFor();
    await again.type('print(x, "once")\n');
    await again.waitForOutput('micropython', 'second once');

    await again.restore('x is first', 'Restore without saving');
    await again.type('print(x, "twice")\n');
    await again.waitForOutput('micropython', 'first twice');

    await again.choose('x is second');
    // What is chosen and what is shown are proposed for a comparison.
    const compared = again.page.locator('.diff form option:checked');
    expect((await compared.allTextContents()).map((title) => title.replace(/ \(.*/, ''))).toEqual([
      'x is second',
      'micropython, now',
    ]);
    await again.act('Fork');
    await again.notice('micropython-fork-1 goes on').waitFor();
    await again.type('x += " forked"; print(x)\n');
    await again.waitForOutput('micropython-fork-1', 'second forked');
    await again.page.getByRole('tab', { name: 'micropython', exact: true }).click();
    await again.type('print(x, "still")\n');
    await again.waitForOutput('micropython', 'first still');
    expect(await again.errors()).toEqual([]);
  });

  it('undoes a restore', async () => {
    const driver = await open();
    await driver.waitForOutput('pulse', 'up 1');
    await driver.save('early');
    await driver.page.getByLabel('Screen of pulse').focus();
    await driver.page.keyboard.type('later');
    await driver.page.waitForFunction(() =>
      document.querySelector('.machine:not([hidden]) .screen pre')?.textContent?.includes('> later'),
    );
    await driver.restore('early', 'Save first, then restore');
    await driver.page.waitForFunction(
      () => !document.querySelector('.machine:not([hidden]) .screen pre')?.textContent?.includes('> later'),
    );
    await driver.page.getByRole('button', { name: 'Undo' }).click();
    await driver.notice('is back at').waitFor();
    await driver.page.waitForFunction(() =>
      document.querySelector('.machine:not([hidden]) .screen pre')?.textContent?.includes('> later'),
    );
  });

  it('restores though its question is answered before the changed pages are counted', async () => {
    const driver = await open();
    await driver.waitForOutput('pulse', 'up 1');
    await driver.save('not counted yet');
    let answered = (): void => {};
    const isAnswered = new Promise<void>((resolve) => {
      answered = resolve;
    });
    // What counts them is loaded when it is first used, in the engine's worker.
    let held = 0;
    await driver.page.context().route(/\/upkeep-[^/]*\.js$/, async (route) => {
      held++;
      await isAnswered;
      await route.continue();
    });
    await driver.answerRestore('not counted yet', 'Restore without saving');
    answered();
    await driver.notice('is at “not counted yet”').waitFor();
    expect(held).toBe(1);
    await driver.page.context().unrouteAll();
    expect(await driver.errors()).toEqual([]);
  });

  it('tells of a lost guest and opens it again where it was', async () => {
    const driver = await open();
    const { page } = driver;
    await driver.waitForOutput('pulse', 'up 1');
    await driver.type('k');
    await driver.save('kept');
    const worker = page.workers().find((one) => one.url().includes('guest'));
    await worker?.evaluate(() => self.close());
    await page.getByText('The worker of pulse is gone (worker-lost: died)').waitFor();
    await page.getByRole('button', { name: 'Open it again' }).click();
    await driver.notice('pulse goes on from its last snapshot').waitFor();
    const ticks = await driver.numberOnScreen('ticks');
    await driver.waitForNumber('ticks', Number.isNaN(ticks) ? 0 : ticks);
  });

  it('gives a save up, and the next one has everything', async () => {
    const driver = await open();
    await driver.waitForOutput('pulse', 'up 1');
    const outcome = await driver.page.evaluate(async () => {
      const { workspace } = window.vitrine;
      const pulse = workspace.find('pulse')!;
      const before = (await workspace.requireEngine().log()).length;
      const saving = workspace.save(pulse, 'given up', 'small').then(
        () => 'saved',
        (error: { readonly code: string }) => error.code,
      );
      pulse.job.value?.cancel();
      const ended = await saving;
      const between = (await workspace.requireEngine().log()).length;
      const { snapshot } = await workspace.save(pulse, 'after', 'fast');
      const verified = await workspace.requireEngine().verify(snapshot.id);
      return { ended, kept: between - before, damaged: verified.damaged.length };
    });
    expect(outcome).toEqual({ ended: 'aborted', kept: 0, damaged: 0 });
  });

  it('tells of a lost engine and opens it again', async () => {
    const driver = await open();
    const { page } = driver;
    await driver.waitForOutput('pulse', 'up 1');
    await driver.save('before the loss');
    const worker = page.workers().find((one) => one.url().includes('engine'));
    await worker?.evaluate(() => self.close());
    const notice = driver.notice('The engine was lost');
    await notice.waitFor();
    await notice.getByRole('button', { name: 'Open it again' }).click();
    await driver.save('after the loss');
    await driver.restore('before the loss', 'Restore without saving');
  });

  it('goes on with machines that join a new engine where another one cannot', async () => {
    const driver = await open();
    const { page } = driver;
    await driver.openGuest('Flat', 'flat');
    await page.evaluate(() => {
      const { guest } = window.vitrine.workspace.find('pulse')!;
      guest.join = () => Promise.reject(new Error('cannot join'));
    });
    const worker = page.workers().find((one) => one.url().includes('engine'));
    await worker?.evaluate(() => self.close());
    await driver.notice('The engine was lost').getByRole('button', { name: 'Open it again' }).click();
    await driver.notice('cannot join').waitFor();
    await driver.save('of the other one');
    const machine = page.getByRole('tab', { name: 'flat', selected: true });
    expect(await machine.count()).toBe(1);
  });

  // Last: the store is damaged for good.
  it('says what failed, with code and remedy', async () => {
    const driver = await open();
    const { page } = driver;
    await driver.waitForOutput('pulse', 'up 1');
    await driver.save('to be damaged');
    await page.evaluate(removePacks);
    await driver.choose('to be damaged');
    await driver.act(/^Verify$/);
    await driver.notice(/damaged: .*object-missing/).waitFor();
    // A new engine has nothing of it in memory.
    await driver.open(server.origin);
    await driver.answerRestore('to be damaged', 'Restore without saving');
    const notice = driver.notice('object-missing');
    await notice.waitFor();
    expect(await notice.textContent()).toContain('Copy it from another store.');
    await driver.waitForOutput('pulse', 'MEMORY OK');
  });
});

/** Runs in the page: takes the packs away and leaves all that names them. */
async function removePacks(): Promise<void> {
  const database = await new Promise<IDBDatabase>((resolve, reject) => {
    const opening = indexedDB.open('vitrine');
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  const work = database.transaction(['parts', 'lengths'], 'readwrite');
  for (const name of ['parts', 'lengths']) {
    const store = work.objectStore(name);
    store.openKeyCursor().onsuccess = (event) => {
      const cursor = (event.target as IDBRequest<IDBCursor | null>).result;
      if (cursor === null) return;
      if (String(cursor.primaryKey).startsWith('packs/')) store.delete(cursor.primaryKey);
      cursor.continue();
    };
  }
  await new Promise<void>((resolve, reject) => {
    work.oncomplete = () => resolve();
    work.onerror = () => reject(work.error);
  });
  database.close();
}

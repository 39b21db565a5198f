// Linux on the page in Chromium asks by itself: for a snapshot from its shell by `vitrine save`, and to go back to it; and a save
// leaves out what its balloon says is free, which the report shows and nobody misses. Where memory is shared the engine's
// worker tracks it, else its own does.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServedRing } from '../../../src/engine/doorbell.ts';
import { type Harness, openHarness } from '../harness.ts';
import { PageDriver } from './page-driver.ts';
import { buildPage, type PageServer, servePage } from './page-server.ts';

declare global {
  interface Window {
    rings: ServedRing[];
  }
}

/** Saves that may come too early for an answer, on a busy host. */
const MOST_SAVES = 12;
const SKIPPED_MIB = 8;

beforeAll(() => buildPage());

describe.each([
  ['isolated', true],
  ['not isolated', false],
])('Linux on a page that is %s', (_, isolated) => {
  let server: PageServer;
  let harness: Harness;
  let driver: PageDriver;
  let commands = 0;

  /** Runs a command in its shell and waits for the end; `text` is what to look for before. */
  async function run(command: string): Promise<void> {
    const end = `${++commands}`;
    await driver.type(`${command}; echo "end"-${end}-\n`);
    await driver.waitForOutput('linux', `end-${end}-`);
  }

  beforeAll(async () => {
    server = await servePage({ isolated });
    harness = await openHarness({ isolated });
    const page = await harness.context.newPage();
    page.setDefaultTimeout(240_000);
    driver = new PageDriver(page);
    await driver.open(server.origin);
    await driver.openGuest('Linux', 'linux');
    await driver.waitForOutput('linux', 'built-in commands.');
    await run('stty -echo');
  });
  afterAll(async () => {
    await harness?.close();
    await server?.close();
  });

  it('saves itself from its shell, and comes back from there', async () => {
    const { page } = driver;
    await run('vitrine save');
    await driver.waitForOutput('linux', 'nobody');
    await page.evaluate(async () => {
      const machine = await window.vitrine.workspace.find('linux')!.joined;
      window.rings = [];
      await machine.serveDoorbell({
        keep: 'snapshot',
        maxPerSecond: 1000,
        save: { label: 'from its shell' },
        onServed: (ring) => window.rings.push(ring),
      });
    });
    await run('vitrine save; echo code=$?');
    await driver.waitForOutput('linux', 'code=0');
    await page.evaluate(() => window.vitrine.workspace.refresh());
    await driver.snapshot('from its shell').waitFor();
    await run('touch /tmp/after');
    await driver.type('vitrine reset\n');
    await driver.waitForOutput('linux', 'restored');
    await driver.waitForOutput('linux', 'code=0', 2);
    await run('ls /tmp/after 2>&1');
    await driver.waitForOutput('linux', '/tmp/after: No such file');
    const rings = await page.evaluate(() =>
      window.rings.map(({ request, answer, error }) => ({ request, answer, error })),
    );
    expect(rings).toEqual([
      { request: 'save', answer: 'first', error: null },
      { request: 'reset', answer: 'restored', error: null },
    ]);
  });

  it('is saved without its free pages, and misses none', async () => {
    const { page } = driver;
    await run('dd if=/dev/urandom of=/tmp/kept bs=1M count=2 2>/dev/null; md5sum /tmp/kept > /tmp/sum');
    const skipped = page
      .locator('.saving .report .figures div')
      .filter({ has: page.getByText('free, skipped', { exact: true }) })
      .locator('dd');
    let label = '';
    let skippedMiB = 0;
    for (let save = 0; save < MOST_SAVES && skippedMiB < SKIPPED_MIB; save++) {
      await run('dd if=/dev/urandom of=/tmp/gone bs=1M count=16 2>/dev/null; rm /tmp/gone');
      label = `save ${save}`;
      await driver.save(label);
      const [text] = await skipped.allTextContents();
      skippedMiB = / MiB$/.test(text ?? '') ? Number.parseFloat(text!) : 0;
    }
    expect(skippedMiB).toBeGreaterThanOrEqual(SKIPPED_MIB);
    await run('rm /tmp/kept');
    await driver.restore(label, 'Restore without saving');
    await run('md5sum -c /tmp/sum; seq 1 20000 > /tmp/n; sort -n /tmp/n | md5sum');
    await driver.waitForOutput('linux', '/tmp/kept: OK');
    expect(await driver.errors()).toEqual([]);
  });
});

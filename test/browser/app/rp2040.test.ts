// The RP2040 on the page, as a person uses it: its serial line, a save, a restore, and its memory by name.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Harness, openHarness } from '../harness.ts';
import { PageDriver } from './page-driver.ts';
import { buildPage, type PageServer, servePage } from './page-server.ts';

beforeAll(buildPage);

describe.each([{ isolated: true }, { isolated: false }])(
  'the RP2040 on a page, isolated $isolated',
  ({ isolated }) => {
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

    it('answers at its terminal, is saved, goes on and comes back', async () => {
      const driver = new PageDriver(await harness.context.newPage());
      await driver.open(server.origin);
      await driver.openGuest('RP2040', 'rp2040');
      await driver.waitForOutput('rp2040', 'Tally 1, on an RP2040');
      // More than its receiver holds at once.
      await driver.type(`${'ab'.repeat(14)}\nw\n`);
      await driver.waitForOutput('rp2040', `you said: ${'ab'.repeat(14)}`);
      await driver.waitForOutput('rp2040', 'writing');
      const pagesWritten = () =>
        driver.page.evaluate(async () => {
          const machine = await window.vitrine.workspace.find('rp2040')!.joined;
          const { bytes } = await machine.peek([{ address: 0x2000_0010, lengthBytes: 4 }]);
          return new DataView(bytes[0]!.buffer, bytes[0]!.byteOffset).getUint32(0, true);
        });
      await expect.poll(pagesWritten, { timeout: 60_000 }).toBeGreaterThan(10);
      await driver.save('writing hard');
      const saved = await pagesWritten();
      await expect.poll(pagesWritten, { timeout: 60_000 }).toBeGreaterThan(saved + 100);
      const panel = driver.page.getByRole('tabpanel').filter({ visible: true });
      await panel.getByRole('button', { name: 'Stop', exact: true }).click();
      await panel.getByRole('button', { name: 'Run', exact: true }).waitFor();
      await driver.restore('writing hard', 'Restore without saving');
      expect(await pagesWritten()).toBeLessThanOrEqual(saved);
      expect(await driver.errors()).toEqual([]);
    });
  },
);

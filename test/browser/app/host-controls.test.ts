// What a person does to a host machine from the page: hold it, set it back, write into it, look inside, end it, start it and
// another one, and give up somebody's job. The machine is QEMU's, with the firmware's boot menu as its program.

import type { Locator, Page } from 'playwright';
import { beforeAll, describe, expect, it } from 'vitest';
import { VitrineError } from '../../../src/base/error.ts';
import { runCommand } from '../../host/cli/shell.ts';
import { OUT } from './built-page.ts';
import { PageDriver } from './page-driver.ts';
import { useQemuBridge } from './qemu-bridge.ts';

// `npm test -- --without-qemu` says aloud that these are left out.
describe.skipIf(process.env.VITRINE_WITHOUT_QEMU === '1')('a host machine on the page', () => {
  const used = useQemuBridge(
    { name: 'desk', memoryBytes: 32 << 20, arguments: ['-boot', 'menu=on,splash-time=65535'] },
    {
      tokens: [{ name: 'looker', access: { desk: ['observe', 'peek'], own: ['observe', 'peek', 'admin'] } }],
      profiles: { menu: { memory: '16M', arguments: ['-vga', 'std'] } },
    },
  );
  let page: Page;
  let host: Locator;

  beforeAll(async () => {
    page = await used.harness.context.newPage();
    await new PageDriver(page).open(used.bridge.server.mintAddress());
    host = page.locator('.host');
    await tab('desk').waitFor();
  });

  const tab = (name: string): Locator => host.locator(`[role="tab"][data-machine="${name}"]`);
  const button = (name: string): Locator => host.getByRole('button', { name, exact: true });
  const told = (text: string | RegExp): Promise<void> => page.locator('.notices').getByText(text).waitFor();
  const peeked = async (address: number): Promise<number[]> => {
    const range = { address, lengthBytes: 4 };
    const [bytes] = await used.bridge.host
      .machine('desk')!
      .machine!.peek([range])
      .then((peek) => peek.bytes);
    return [...bytes!];
  };

  it('is written into, and set back to its checkpoint', async () => {
    await button('Checkpoint').click();
    await told(/desk has a checkpoint to go back to/);
    const before = await peeked(0x180_0000);
    await host.getByLabel('Address, hex').fill('0x1800000');
    await button('Peek').click();
    await host.getByText('one instant, paused').waitFor();
    await host.getByLabel('Bytes to write there, hex').fill('de ad be ef');
    await button('Poke').click();
    await host.getByText('desk: 4 bytes written').waitFor();
    expect(await peeked(0x180_0000)).toEqual([0xde, 0xad, 0xbe, 0xef]);
    expect(await host.locator('.hex').textContent()).toContain('deadbeef');
    await host.getByLabel('Bytes to write there, hex').fill('not hex');
    await button('Poke').click();
    expect(await host.getByLabel('Bytes to write there, hex').getAttribute('aria-invalid')).toBe('true');
    await button('Reset').click();
    await told(/desk is back at its checkpoint/);
    expect(await peeked(0x180_0000)).toEqual(before);
  });

  it('is watched while it runs, and what is typed meanwhile stays', async () => {
    // The firmware counts ticks there.
    const address = host.getByLabel('Address, hex');
    await address.fill('0x468');
    await button('Peek').click();
    await host.getByText('one instant, paused').waitFor();
    const shown = () => host.locator('.hex').textContent();
    const before = await shown();
    await host.getByLabel('Watch').check();
    await host.getByText('desk, read while it runs, not one instant').waitFor();
    await expect.poll(shown).not.toBe(before);
    await address.fill('0x18');
    const seen = await shown();
    await expect.poll(shown).not.toBe(seen);
    expect(await address.inputValue()).toBe('0x18');
    await host.getByLabel('Watch').uncheck();
  });

  it('shows its memory map, its registers, and what the host tells', async () => {
    await host.getByText('Memory map, registers, facts').click();
    await host.getByRole('cell', { name: 'ram', exact: true }).first().waitFor();
    await host.getByRole('cell', { name: 'restores in place', exact: true }).waitFor();
    expect(await host.getByRole('row', { name: /^tracking/ }).textContent()).toMatch(/^tracking\w+, \w+: \S/);
    await button('Read registers').click();
    await host.getByRole('cell', { name: 'rip', exact: true }).waitFor();
    const rip = await host.getByRole('row', { name: /^rip/ }).textContent();
    expect(rip).toMatch(/^rip0x[0-9a-f]{16}$/);
    const table = host.getByRole('table', { name: 'Memory map' });
    await table.getByRole('button').first().click();
    await host.getByText('one instant, paused').waitFor();
    await page.screenshot({ path: `${OUT}host-controls.png`, fullPage: true });
    await host.getByText('Memory map, registers, facts').click();
  });

  it('rests, goes on, is stopped and started again', async () => {
    await button('Pause').click();
    await button('Resume').waitFor();
    expect(used.bridge.host.machine('desk')?.state).toBe('paused');
    await host.getByLabel('Live').check();
    await button('Save desk').click();
    await told(/desk is saved on the host: .* written\. Not live: it does not run\./);
    await host.getByLabel('Live').uncheck();
    await button('Resume').click();
    await button('Pause').waitFor();
    await button('Stop').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Save first, then stop' }).click();
    await told('desk was stopped. Its snapshots stay.');
    await host.getByRole('option', { name: 'before it was stopped' }).waitFor();
    expect(await button('Checkpoint').isDisabled()).toBe(true);
    expect(await button('Checkpoint').getAttribute('title')).toBe('desk is stopped.');
    await button('Start').click();
    await told(/desk was started/);
    expect(used.bridge.host.machine('desk')?.state).toBe('running');
  });

  it('is started anew, with arguments as a shell has them, or it is said why not', async () => {
    await host.getByText('Start another machine').click();
    await host.getByLabel('Name').fill('second');
    await host.getByLabel('Made').selectOption('as follows');
    await host.getByLabel('Memory, MiB').fill('16');
    await host.getByLabel('Arguments of QEMU').fill('-incoming defer');
    await button('Start machine').click();
    await told('argument-invalid');
    await host.getByLabel('Arguments of QEMU').fill(`-device virtio-rng-pci -name "a second one"`);
    await button('Start machine').click();
    await told('second runs.');
    expect(await tab('second').getAttribute('aria-selected')).toBe('true');
    await host.getByText('16 MiB').first().waitFor();
    await tab('desk').click();
  });

  it('has jobs, which are seen while they run, given up, and explained', async () => {
    await host.getByText('Jobs of the host', { exact: true }).click();
    const { jobs } = used.bridge.host;
    jobs.start(
      { id: undefined, verb: 'verify', machine: 'desk', subject: 'owner' },
      ({ signal, onProgress }) => {
        onProgress?.({ phase: 'verify', done: 3, total: 10, unit: 'objects' });
        return new Promise((_, reject) =>
          signal?.addEventListener('abort', () => reject(new VitrineError('aborted'))),
        );
      },
    );
    const row = host.getByRole('listitem').filter({ hasText: 'verify desk' }).first();
    await row.getByRole('progressbar').waitFor();
    await row.getByRole('button', { name: 'Cancel' }).click();
    await host.locator('[data-state="cancelled"]').waitFor();
    await host.locator('[data-state="cancelled"]').getByRole('button', { name: 'Why?' }).click();
    await told('aborted');
  });

  it('is only looked at by who may do no more', async () => {
    const { environment } = used;
    const { out } = await runCommand(['open', '--for', 'looker'], environment);
    // An address that differs by its fragment alone would not load the page again.
    await page.goto('about:blank');
    await page.goto(out.trim());
    await host.getByText('You may observe, peek').or(host.getByText('you may observe, peek')).waitFor();
    for (const name of ['Pause', 'Checkpoint', 'Reset', 'Stop', 'Poke', 'Save desk']) {
      expect(await button(name).isDisabled(), name).toBe(true);
      expect(await button(name).getAttribute('title'), name).toMatch(/^That needs the permission \w+\.$/);
    }
    await host.getByText('Memory map, registers, facts').click();
    await button('Read registers').click();
    await host.getByRole('cell', { name: 'rip', exact: true }).waitFor();
  });

  it('is started from a profile by who may have one of that name, and of nothing else', async () => {
    await host.getByText('Start another machine').click();
    expect(await host.getByLabel('Made').locator('option').allTextContents()).toEqual(['menu']);
    expect(await host.getByLabel('Arguments of QEMU').isVisible()).toBe(false);
    await host.getByLabel('Name').fill('other');
    await button('Start machine').click();
    await told('permission-denied');
    await host.getByLabel('Name').fill('own');
    await button('Start machine').click();
    await told('own runs.');
    await host.locator('.host-screen canvas').waitFor();
    await button('Stop').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Stop without saving' }).click();
    await told('own was stopped. Its snapshots stay.');
    await button('Start').click();
    await told(/own was started/);
    expect(used.bridge.host.machine('own')?.state).toBe('running');
  });
});

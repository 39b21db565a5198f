// Snapshots as files between a page, its host and a shell: downloaded, opened, uploaded, imported, and whole each time.

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Locator, Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type LocalBridge, openLocalBridge } from '../../../src/host/bridge/local-bridge.ts';
import { configOf } from '../../../src/host/bridge/serve-config.ts';
import { runCommand } from '../../host/cli/shell.ts';
import { type Harness, openHarness } from '../harness.ts';
import { PageDriver } from './page-driver.ts';
import { buildPage } from './page-server.ts';
import { PULSE_LAUNCHER } from './pulse-launcher.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

let folder = '';
let bridge: LocalBridge;
let harness: Harness;
let page: Page;
let host: Locator;
let own: Locator;

beforeAll(async () => {
  await buildPage();
  folder = await mkdtemp(join(tmpdir(), 'vitrine-files-'));
  const config = configOf({ listen: '127.0.0.1:0', page: join(ROOT, 'dist/page') });
  bridge = await openLocalBridge(config, {
    store: join(folder, 'store'),
    version: '0.0.0-test',
    log: () => {},
    launcher: PULSE_LAUNCHER,
    runFolder: join(folder, 'run'),
  });
  await bridge.host.run?.({ name: 'pulse-one' }, {});
  harness = await openHarness();
  page = await harness.context.newPage();
  await new PageDriver(page).open(bridge.server.mintAddress());
  host = page.locator('.host');
  own = page.locator('.section-snapshots');
  await host.getByRole('tab', { name: 'pulse-one' }).waitFor();
});

afterAll(async () => {
  await harness?.close();
  await bridge?.close();
  await rm(folder, { recursive: true, force: true });
});

const press = (where: Locator, name: string | RegExp): Promise<void> =>
  where.getByRole('button', { name, exact: true }).click();

async function download(where: Locator, name: string): Promise<string> {
  const [begun] = await Promise.all([page.waitForEvent('download'), press(where, 'Download')]);
  expect(begun.suggestedFilename()).toMatch(/^[\w-]+-[0-9a-f]+\.vitrine$/);
  const file = join(folder, name);
  await begun.saveAs(file);
  return file;
}

async function choose(where: Locator, label: string, file: string): Promise<void> {
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), press(where, label)]);
  await chooser.setFiles(file);
}

/** Imports a file into a new store and proves every byte of it there. */
async function provenByShell(file: string, store: string): Promise<string> {
  const environment = { VITRINE_RUN_DIR: join(folder, 'nobody') };
  await mkdir(join(folder, store));
  const taken = await runCommand(['import', file, '--store', join(folder, store)], environment);
  expect(taken, taken.error).toMatchObject({ code: 0 });
  const proven = await runCommand(['verify', '--all', '--store', join(folder, store)], environment);
  expect(proven, proven.error).toMatchObject({ code: 0 });
  return taken.out.trim();
}

it('gives a snapshot of the host as a file, which a shell takes and the page opens', async () => {
  await host.getByLabel('Label on the host').fill('from the host');
  await press(host, 'Save pulse-one');
  await host.getByRole('option', { name: 'from the host' }).waitFor();
  const file = await download(host, 'host.vitrine');
  const id = await provenByShell(file, 'shell-1');
  await choose(own, 'Open a file …', file);
  await page.getByText('“from the host” of pulse-one is in this browser.').waitFor();
  const item = page.getByRole('treeitem', { name: 'from the host' });
  expect(await item.getAttribute('data-snapshot')).toBe(id);
  await item.click();
  await press(own, 'Verify');
  await page.getByText(/“from the host” is whole/).waitFor();
});

it('gives a snapshot of the page as a file, which a shell and the host take', async () => {
  await own.getByLabel('Label').fill('from the page');
  await press(own, 'Save pulse');
  await page.getByRole('treeitem', { name: 'from the page' }).click();
  const file = await download(own, 'page.vitrine');
  const id = await provenByShell(file, 'shell-2');
  await choose(host, 'Upload a file …', file);
  await page.getByText('“from the page” of pulse is on the host.').waitFor();
  expect((await bridge.host.engine.verify(id)).damaged).toEqual([]);
  // None of the host's machines is of it: one is started.
  await press(page.locator('.notices'), 'Start pulse');
  await host.locator('[role="tab"][data-machine="pulse"][aria-selected="true"]').waitFor();
  await host.getByRole('option', { name: 'from the page' }).waitFor();
});

it('says what is wrong with a file, by code and remedy, and takes nothing of it', async () => {
  const before = (await bridge.host.engine.log()).length;
  const bytes = await readFile(join(folder, 'page.vitrine'));
  const broken = join(folder, 'broken.vitrine');
  await writeFile(broken, bytes.subarray(0, bytes.length - 1));
  await choose(host, 'Upload a file …', broken);
  await page.getByText('format-truncated').waitFor();
  await page.getByText('Fetch the whole file again.').waitFor();
  await choose(own, 'Open a file …', join(ROOT, 'package.json'));
  await page.getByText('format-magic').waitFor();
  expect(await bridge.host.engine.log()).toHaveLength(before);
});

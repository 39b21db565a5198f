// The page as `vitrine serve` serves it, in Chromium: one address opens it once, it is isolated, runs its guest, breaks no
// policy, and gets tickets; pages of other origins get nothing.

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RunningCommand, startCommand } from '../../host/cli/shell.ts';
import { type Harness, openHarness } from '../harness.ts';
import { PageDriver } from './page-driver.ts';
import { buildPage } from './page-server.ts';

const OUT = fileURLToPath(new URL('../.out/', import.meta.url));

let folder = '';
let command: RunningCommand;
let bridge: { readonly origin: string; readonly address: string };
let harness: Harness;
let foreign: Server;

beforeAll(async () => {
  await buildPage();
  folder = await mkdtemp(join(tmpdir(), 'vitrine-bridge-page-'));
  const environment = { VITRINE_RUN_DIR: join(folder, 'run'), VITRINE_STORE: join(folder, 'store') };
  command = startCommand(['serve', '--listen', '127.0.0.1:0', '--json'], environment);
  bridge = JSON.parse(await command.firstLine);
  harness = await openHarness();
  foreign = createServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>Foreign</title>');
  });
  await new Promise<void>((resolve) => foreign.listen(0, '127.0.0.1', resolve));
});

afterAll(async () => {
  await harness?.close();
  foreign?.close();
  command?.interrupt();
  await command?.ended;
  await rm(folder, { recursive: true, force: true });
});

/** A tab, with what its policy forbade and its console complained of. */
async function openTab(): Promise<{ page: Page; complaints: string[] }> {
  const page = await harness.context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  return { page, complaints };
}

const admissionOf = (page: Page): Promise<unknown> =>
  page.waitForFunction(() => document.documentElement.dataset.bridge).then((handle) => handle.jsonValue());

it('opens by its address, isolated, with a guest that runs and no policy broken', async () => {
  const { page, complaints } = await openTab();
  await new PageDriver(page).open(bridge.address);
  expect(await admissionOf(page)).toBe('joined');
  expect(page.url()).toBe(`${bridge.origin}/`);
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  const driver = new PageDriver(page);
  await driver.waitForNumber('ticks', 10);
  await driver.save('served by a bridge');
  expect(await driver.errors()).toEqual([]);
  expect(complaints).toEqual([]);
  await page.screenshot({ path: `${OUT}bridge.png` });
  await page.reload();
  expect(await admissionOf(page)).toBe('joined');
  await page.close();
});

it('says what can be done where there is no machine', async () => {
  const { page } = await openTab();
  await page.goto(bridge.origin);
  await page.getByText('Connected to vitrine', { exact: false }).waitFor();
  // The host of this test may be without QEMU.
  const canStart = await page.locator('summary', { hasText: 'Start a machine' }).isVisible();
  const said = canStart ? 'There is no machine yet: start one below' : 'There is no machine that you may see';
  await page.getByText(said, { exact: false }).waitFor();
  await page.close();
});

it('is not opened by the same address again', async () => {
  const other = await openHarness();
  try {
    const page = await other.context.newPage();
    await page.goto(bridge.address);
    expect(await admissionOf(page)).toBe('late');
    await page.getByText('vitrine open', { exact: false }).waitFor();
    expect(page.url()).not.toContain('#k=');
    // The page itself works on.
    await new PageDriver(page).waitForNumber('ticks', 10);
  } finally {
    await other.close();
  }
});

it('gets a ticket for one connection', async () => {
  const { page } = await openTab();
  await page.goto(bridge.origin);
  expect(await admissionOf(page)).toBe('joined');
  const outcomes = await page.evaluate(async () => {
    const proof = localStorage.getItem('vitrine-bridge-proof') ?? '';
    const response = await fetch('/ticket', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Vitrine-Proof': proof },
      body: '{}',
    });
    const { ticket } = (await response.json()) as { ticket: string };
    const connect = () =>
      new Promise<string>((resolve) => {
        const socket = new WebSocket(`ws://${location.host}/bridge`, ['vitrine.v1', `ticket.${ticket}`]);
        socket.onopen = () => resolve(`open ${socket.protocol}`);
        socket.onerror = () => resolve('refused');
      });
    return [await connect(), await connect()];
  });
  expect(outcomes).toEqual(['open vitrine.v1', 'refused']);
  await page.close();
});

it('is nothing to a page of another origin on the same host', async () => {
  const { page, complaints } = await openTab();
  const { port } = foreign.address() as AddressInfo;
  await page.goto(`http://127.0.0.1:${port}/`);
  const outcomes = await page.evaluate(async (origin) => {
    const post = (path: string, headers: Record<string, string>) =>
      fetch(`${origin}${path}`, { method: 'POST', credentials: 'include', headers, body: '{}' }).then(
        () => 'answered',
        () => 'blocked',
      );
    const socket = new WebSocket(`${origin.replace('http', 'ws')}/bridge`, ['vitrine.v1']);
    const socketOutcome = new Promise<string>((resolve) => {
      socket.onopen = () => resolve('open');
      socket.onerror = () => resolve('refused');
    });
    const frame = document.createElement('iframe');
    frame.src = origin;
    document.body.append(frame);
    return {
      simple: await post('/ticket', {}),
      json: await post('/ticket', { 'Content-Type': 'application/json' }),
      socket: await socketOutcome,
    };
  }, bridge.origin);
  expect(outcomes).toEqual({ simple: 'blocked', json: 'blocked', socket: 'refused' });
  await expect.poll(() => command.printed.error).toContain('origin-not-allowed');
  // Chromium's words for a frame that it left empty.
  await expect.poll(() => complaints.join('\n')).toContain('frame-ancestors');
  await page.close();
});

// Ends in the middle of a save, in real Chromium: the tab is closed, the engine's worker dies, the guest's worker dies. What
// was saved stays whole, nothing half-saved is ever listed, and what is left alive goes on.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type {} from '../../src/app/main.ts';
import { PULSE } from '../../src/guest/pulse/pulse.ts';
import { buildPage, type PageServer, servePage } from './app/page-server.ts';
import { launchChromium } from './harness.ts';

declare global {
  interface Window {
    /** How the save that was begun ended. */
    outcome: string | undefined;
  }
}

let profile: string;
let context: BrowserContext;
let server: PageServer;
let page: Page;

beforeAll(async () => {
  await buildPage();
  server = await servePage({ isolated: true });
  profile = await mkdtemp(join(tmpdir(), 'vitrine-crash-'));
  context = await launchChromium(profile);
});

afterAll(async () => {
  await context?.close();
  await server?.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 3 });
});

beforeEach(reopen);

async function reopen(): Promise<void> {
  await page?.close();
  page = await context.newPage();
  await page.goto(server.origin);
  await page.waitForFunction(() => window.vitrine?.workspace.engine.value !== null);
  await page.evaluate(async () => void (await (await window.vitrine.workspace.open('pulse')).joined));
}

/** Begins a save, `small` so that it takes its time, and waits until pages are being encoded. */
function beginSave(): Promise<void> {
  return page.evaluate(async () => {
    window.outcome = undefined;
    const machine = await window.vitrine.workspace.find('pulse')!.joined;
    await new Promise<void>((resolve) => {
      const onProgress = ({ phase }: { readonly phase: string }): void => {
        if (phase === 'encode') resolve();
      };
      machine.save({ label: 'cut off', effort: 'small', full: true, onProgress }).then(
        () => {
          window.outcome = 'saved';
          resolve();
        },
        (error: { readonly code: string }) => {
          window.outcome = error.code;
          resolve();
        },
      );
    });
  });
}

function save(label: string): Promise<string> {
  return page.evaluate(async (label) => {
    const { workspace } = window.vitrine;
    const report = await workspace.save(workspace.find('pulse')!, label, 'fast');
    return report.snapshot.id;
  }, label);
}

/** Every snapshot listed is whole; answers with their labels. */
function expectWhole(): Promise<string[]> {
  return page.evaluate(async () => {
    const engine = window.vitrine.workspace.requireEngine();
    const infos = await engine.log();
    for (const { id } of infos) {
      const { damaged } = await engine.verify(id);
      if (damaged.length > 0) throw new Error(`${id} is damaged: ${JSON.stringify(damaged)}`);
    }
    return infos.map(({ label }) => label);
  });
}

async function loops(): Promise<number> {
  return page.evaluate(async (address) => {
    const machine = await window.vitrine.workspace.find('pulse')!.joined;
    const { bytes } = await machine.peek([{ address, lengthBytes: 4 }]);
    return new DataView(bytes[0]!.buffer).getUint32(0, true);
  }, PULSE.loops);
}

/** The guest is running and what it holds is saved and restored as ever. */
async function expectGoesOn(): Promise<void> {
  const before = await loops();
  await expect.poll(loops).toBeGreaterThan(before);
  const id = await save('after');
  const saved = await loops();
  await expect.poll(loops).toBeGreaterThan(saved);
  await page.evaluate(async (id) => {
    const { workspace } = window.vitrine;
    await workspace.restore(workspace.find('pulse')!, id);
  }, id);
  const restored = await loops();
  await expect.poll(loops).toBeGreaterThan(restored);
  expect(await expectWhole()).toContain('after');
}

/** Kills a worker of the page by its name or the file it runs. */
async function kill(pattern: RegExp): Promise<void> {
  const worker = page.workers().find((one) => pattern.test(one.url()));
  if (worker === undefined) throw new Error(`no such worker: ${page.workers().map((one) => one.url())}`);
  await worker.evaluate(() => self.close()).catch(() => {});
}

describe('in the middle of a save', () => {
  it('the tab is closed: what was saved before is there, whole', async () => {
    await save('before');
    await beginSave();
    await reopen();
    const labels = await expectWhole();
    expect(labels).toContain('before');
    await expectGoesOn();
  });

  it('the engine dies: the save says so, the guest runs on and joins the next engine', async () => {
    await save('before the engine');
    await beginSave();
    await kill(/\/engine-/);
    await page.waitForFunction(() => window.outcome !== undefined);
    expect(['worker-lost', 'saved']).toContain(await page.evaluate(() => window.outcome));
    await page.waitForFunction(() => window.vitrine.workspace.engineLost.value !== null);
    await page.evaluate(() => window.vitrine.workspace.openEngine());
    expect(await expectWhole()).toContain('before the engine');
    await expectGoesOn();
  });

  it('the guest dies: the save says so, and another guest goes on from the last snapshot', async () => {
    const id = await save('before the guest');
    await beginSave();
    await kill(/\/guest-/);
    await page.waitForFunction(() => window.outcome !== undefined);
    expect(['worker-lost', 'saved']).toContain(await page.evaluate(() => window.outcome));
    await page.waitForFunction(() => window.vitrine.workspace.find('pulse')!.lost.value !== null);
    await page.evaluate(async (id) => {
      const { workspace } = window.vitrine;
      await workspace.restore(await workspace.open('pulse'), id);
    }, id);
    await expectGoesOn();
    expect(await expectWhole()).toContain('before the guest');
  });
});

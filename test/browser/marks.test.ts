// Marks of v86 in Chromium: the first saves compare all of RAM with what was marked, and only a guest of which no mark was
// missed is then saved by looking at few pages.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type {} from '../../src/app/main.ts';
import { buildPage, type PageServer, servePage } from './app/page-server.ts';
import { launchChromium } from './harness.ts';

const PAGE_BYTES = 4096;
/** Saves of the running guest, each in an epoch of its own. */
const SAVES = 6;

let profile: string;
let context: BrowserContext;
let server: PageServer;
let page: Page;

beforeAll(async () => {
  await buildPage();
  profile = await mkdtemp(join(tmpdir(), 'vitrine-marks-'));
  context = await launchChromium(profile);
  server = await servePage({ isolated: true });
  page = await context.newPage();
  await page.goto(server.origin);
  await page.waitForFunction(() => window.vitrine?.workspace.engine.value !== null);
});

afterAll(async () => {
  await context?.close();
  await server?.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 3 });
});

it.each(['pulse', 'linux'])('proves the marks of %s, then looks at the marked pages alone', async (name) => {
  const seen = await page.evaluate(
    async ({ name, saves }) => {
      const { workspace } = window.vitrine;
      const open = await workspace.open(name);
      await open.joined;
      const scanned: number[] = [];
      for (let save = 0; save < saves; save++) {
        const { pagesScanned } = await workspace.save(open, `save ${save}`, 'fast');
        scanned.push(pagesScanned);
      }
      const { regions, traits } = open.guest.description;
      const sizes = regions.map(({ name, sizeBytes }) => ({ name, sizeBytes }));
      return { scanned, sizes, tracking: traits.tracking };
    },
    { name, saves: SAVES },
  );
  const pages = (sizes: typeof seen.sizes) =>
    sizes.reduce((sum, { sizeBytes }) => sum + sizeBytes / PAGE_BYTES, 0);
  const all = pages(seen.sizes);
  expect(seen.tracking).toBe('barrier');
  expect(seen.scanned.filter((count) => count === all).length).toBeGreaterThanOrEqual(3);
  // Less than half is looked at then, and never all again: video memory is not, while nobody writes there.
  expect(seen.scanned.at(-1)).toBeLessThan(all / 2);
});

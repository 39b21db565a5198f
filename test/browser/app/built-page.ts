// The built page in a browser, for a test file: built and served before its tests, closed after them.

import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';
import { type Harness, openHarness } from '../harness.ts';
import { PageDriver } from './page-driver.ts';
import { buildPage, type PageServer, servePage } from './page-server.ts';

/** Where pictures go. */
export const OUT = fileURLToPath(new URL('../.out/', import.meta.url));

export interface BuiltPage {
  /** Of the server, once the tests run. */
  readonly origin: string;
  readonly harness: Harness;
  /** A tab of the page that can save, as a person would see it on a laptop. */
  open(size?: { readonly width: number; readonly height: number }): Promise<PageDriver>;
}

/** Call it at the top of a file, or in a `describe`: it is there for the tests beside it. */
export function useBuiltPage({ isolated = true } = {}): BuiltPage {
  let server: PageServer | undefined;
  let harness: Harness | undefined;
  beforeAll(async () => {
    await buildPage();
    server = await servePage({ isolated });
    harness = await openHarness();
  });
  afterAll(async () => {
    await harness?.close();
    await server?.close();
  });
  return {
    // Safe: nothing of it is used before the tests run.
    get origin() {
      return server!.origin;
    },
    get harness() {
      return harness!;
    },
    async open(size = { width: 1280, height: 800 }) {
      const page = await harness!.context.newPage();
      await page.setViewportSize(size);
      const driver = new PageDriver(page);
      await driver.open(server!.origin);
      return driver;
    },
  };
}

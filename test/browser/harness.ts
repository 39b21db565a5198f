// Pages of the source tree in real Chromium: one vite server and one browser profile, opened and closed by a test.
// It serves what stands on disk, with the headers of vite.config.ts, and knows nothing of what a page does.

import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright';
import { createServer } from 'vite';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Keeps Chromium from the network and from asking anything. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A browser with its profile in a directory of its own. */
export interface Harness extends AsyncDisposable {
  readonly origin: string;
  readonly context: BrowserContext;
  /** Opens a tab on a path below the origin; errors of the page that nobody caught are kept in `pageErrors`. */
  open(path: string): Promise<Page>;
  readonly pageErrors: readonly string[];
  /** Ends the browser as closing its window does, and starts it again on the same profile. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Headers with which a page is not isolated. */
const NOT_ISOLATED = {
  'Cross-Origin-Opener-Policy': 'unsafe-none',
  'Cross-Origin-Embedder-Policy': 'unsafe-none',
};

/** Starts the server and the browser; pages are cross-origin isolated unless told otherwise. */
export async function openHarness(options: { readonly isolated?: boolean } = {}): Promise<Harness> {
  const headers = options.isolated === false ? { headers: NOT_ISOLATED } : {};
  const server = await createServer({
    root: ROOT,
    configFile: join(ROOT, 'vite.config.ts'),
    logLevel: 'error',
    server: { port: 0, strictPort: false, host: '127.0.0.1', hmr: false, watch: null, ...headers },
    // A dependency found late would reload the page in the middle of a test.
    optimizeDeps: { noDiscovery: true, include: [] },
  });
  await server.listen();
  const address = server.httpServer?.address();
  if (address === null || address === undefined || typeof address === 'string') throw new Error('no port');
  const origin = `http://127.0.0.1:${address.port}`;

  const profile = await mkdtemp(join(tmpdir(), 'vitrine-browser-'));
  const launch = () => launchChromium(profile);
  let context = await launch();
  const pageErrors: string[] = [];

  const close = async (): Promise<void> => {
    await context.close();
    await server.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 3 });
  };

  return {
    origin,
    get context() {
      return context;
    },
    pageErrors,
    async open(path) {
      const page = await context.newPage();
      page.on('pageerror', (error) => pageErrors.push(String(error)));
      await page.goto(`${origin}${path}`);
      return page;
    },
    async restart() {
      await context.close();
      context = await launch();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A browser over a profile, which holds what its pages store. */
export function launchChromium(profile: string): Promise<BrowserContext> {
  return chromium.launchPersistentContext(profile, {
    executablePath: findChromium(),
    args: FLAGS,
    headless: true,
  });
}

/** A browser without a profile, for what keeps nothing. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: findChromium(), args: FLAGS, headless: true });
}

/** One page alone, and what ends it. */
export async function openPage(path: string): Promise<{ page: Page; close(): Promise<void> }> {
  const harness = await openHarness();
  return { page: await harness.open(path), close: () => harness.close() };
}

/** `CHROMIUM`, Debian's, or the one that playwright has installed. */
function findChromium(): string {
  const found = [process.env.CHROMIUM, '/usr/bin/chromium', chromium.executablePath()].find(
    (path) => path !== undefined && existsSync(path),
  );
  if (found === undefined)
    throw new Error('no Chromium: apt-get install chromium, or set CHROMIUM to its path');
  return found;
}

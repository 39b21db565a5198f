// A blank project's pages in real Chromium, built and served by vite without a line of configuration.

import { join } from 'node:path';
import { type BrowserContext, chromium } from 'playwright';
import { build, createServer, preview } from 'vite';
import { findChromium } from '../setup/chromium.mjs';
import type { BlankProject } from './blank-project.ts';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'];

/** The strictest policy that README.md says is enough, for pages and workers alike. */
const POLICY = ["default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "worker-src 'self'"].join('; ');

/** Where pages are served. */
export interface Site {
  readonly origin: string;
  close(): Promise<void>;
}

/** Gives the project a page for each program: `main.js` is run by `main.html`. */
export async function addPages(project: BlankProject, programs: readonly string[]): Promise<void> {
  for (const program of programs) {
    const page = `<!doctype html><title>${program}</title><script type="module" src="./${program}"></script>`;
    await project.write(program.replace(/\.js$/, '.html'), page);
  }
}

export interface SiteOptions {
  /** Of a project that has one; most have none. */
  readonly configFile?: string;
  /** More for the policy, for pages that load files of their own. */
  readonly policy?: string;
}

/** Builds the pages, as `vite build` does, and serves what was built, under a strict policy. */
export async function serveBuilt(
  project: BlankProject,
  programs: readonly string[],
  { configFile, policy = '' }: SiteOptions = {},
): Promise<Site> {
  const input = programs.map((program) => join(project.folder, program.replace(/\.js$/, '.html')));
  const root = project.folder;
  await build({
    root,
    configFile: configFile ?? false,
    logLevel: 'error',
    build: { rolldownOptions: { input } },
  });
  const headers = { 'Content-Security-Policy': POLICY + policy };
  const server = await preview({ root, configFile: false, preview: { port: 0, host: '127.0.0.1', headers } });
  return { origin: originOf(server.httpServer.address()), close: () => server.close() };
}

/** Serves the pages as `vite` does while one develops. */
export async function serveSources(project: BlankProject, { configFile }: SiteOptions = {}): Promise<Site> {
  const server = await createServer({
    root: project.folder,
    configFile: configFile ?? false,
    logLevel: 'error',
    server: { port: 0, host: '127.0.0.1', hmr: false, watch: null },
  });
  await server.listen();
  return { origin: originOf(server.httpServer?.address()), close: () => server.close() };
}

/** A browser on a profile that outlives it. */
export function launch(profile: string): Promise<BrowserContext> {
  const executablePath = findChromium();
  if (executablePath === undefined) throw new Error('no Chromium: install it, or set CHROMIUM to its path');
  return chromium.launchPersistentContext(profile, { executablePath, args: FLAGS, headless: true });
}

/**
 * Opens a page and waits for what its program hands to `reportOutcome`; rejects with the page's own error, and when a file is
 * not served that `isLost` does not name.
 */
export async function outcomeOf(
  context: BrowserContext,
  url: string,
  isLost: (url: string) => boolean = () => false,
): Promise<unknown> {
  const page = await context.newPage();
  try {
    return await new Promise((resolve, reject) => {
      page.on('pageerror', reject);
      page.on('requestfailed', (request) => {
        if (!isLost(request.url())) reject(new Error(`not served: ${request.url()}`));
      });
      // Not `waitForFunction`, which evaluates a string and is refused by the policy.
      page
        .exposeFunction('reportOutcome', resolve)
        .then(() => page.goto(url))
        .catch(reject);
    });
  } finally {
    await page.close();
  }
}

function originOf(address: unknown): string {
  // Safe: a server on TCP, listening, has a port.
  return `http://127.0.0.1:${(address as { port: number }).port}`;
}

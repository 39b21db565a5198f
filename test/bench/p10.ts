// P10: what a page pays: bytes loaded for engine and kernels, time to the first snapshot, and the longest task of the main
// thread while a guest is opened, saved and restored. The built page in Chromium, served from this machine.

import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { Browser, Page } from 'playwright';
import type {} from '../../src/app/main.ts';
import { buildPage, servePage } from '../browser/app/page-server.ts';
import { launchBrowser } from '../browser/harness.ts';
import { type BenchRow, median } from './row.ts';

const ROUNDS = 7;
const KIB = 1024;
const ASSETS = fileURLToPath(new URL('../../dist/page/assets', import.meta.url));

interface Visit {
  /** Files that the engine's worker loaded, itself included. */
  readonly engineFiles: readonly string[];
  readonly v86Files: readonly string[];
  readonly firstSnapshotMs: number;
  readonly longestTaskMs: number;
}

export async function run(): Promise<BenchRow> {
  await buildPage();
  const server = await servePage({ isolated: true });
  const browser = await launchBrowser();
  try {
    const visits: Visit[] = [];
    // The first visit compiles what Chromium keeps compiled; it does not count.
    for (let round = 0; round <= ROUNDS; round++) visits.push(await visit(browser, server.origin));
    visits.shift();
    const engine = gzipped(visits[0]!.engineFiles);
    const v86 = gzipped(visits[0]!.v86Files);
    const first = median(visits.map((one) => one.firstSnapshotMs));
    const longest = median(visits.map((one) => one.longestTaskMs));
    return {
      row: 'P10',
      results: [
        {
          name: 'engine + kernels (KiB, gzip)',
          value: engine / KIB,
          unit: 'KiB',
          better: 'lower',
          goal: 60,
          ours: engine / KIB,
        },
        {
          name: 'engine + kernels vs v86 alone (KiB, gzip)',
          value: engine / v86,
          unit: 'x',
          better: 'lower',
          ours: engine / KIB,
          peer: v86 / KIB,
        },
        {
          name: 'opening the page to the first snapshot',
          value: first,
          unit: 'ms',
          better: 'lower',
          ours: first,
        },
        {
          name: 'longest main-thread task',
          value: longest,
          unit: 'ms',
          better: 'lower',
          goal: 16,
          ours: longest,
        },
      ],
      notes: [
        `Engine files: ${visits[0]!.engineFiles.map((file) => basename(file)).join(', ')}.`,
        'The guest is Pulse, 16 MiB; the visit opens the page, saves with effort fast, lets it run, saves again and restores the first.',
        'The longest task is of the whole visit, the page’s own start included; it is read from the browser’s trace.',
      ],
    };
  } finally {
    await browser.close();
    await server.close();
  }
}

async function visit(browser: Browser, origin: string): Promise<Visit> {
  const context = await browser.newContext();
  const page = await context.newPage();
  const requests: { readonly url: string; readonly referrer: string }[] = [];
  page.on('request', (request) => {
    requests.push({ url: request.url(), referrer: request.headers().referer ?? '' });
  });
  await browser.startTracing(page, { categories: ['disabled-by-default-devtools.timeline', '__metadata'] });
  const startMs = performance.now();
  await page.goto(origin);
  const firstSnapshotMs = await saveFirst(page, startMs);
  await page.evaluate(async () => {
    const { workspace } = window.vitrine;
    const machine = await workspace.open('pulse');
    const { report } = { report: await workspace.save(machine, 'second', 'fast') };
    await workspace.restore(machine, report.snapshot.parent!);
  });
  const trace = await browser.stopTracing();
  await context.close();
  return {
    engineFiles: loadedBy(requests, /\/engine-[^/]*\.js$/),
    v86Files: requests.map(({ url }) => url).filter((url) => /\/(libv86|v86)-[^/]*\.(js|wasm)$/.test(url)),
    firstSnapshotMs,
    longestTaskMs: longestMainTask(trace),
  };
}

async function saveFirst(page: Page, startMs: number): Promise<number> {
  await page.waitForFunction(() => window.vitrine?.workspace.engine.value !== null);
  await page.evaluate(async () => {
    const { workspace } = window.vitrine;
    await workspace.save(await workspace.open('pulse'), 'first', 'fast');
  });
  return performance.now() - startMs;
}

/** The file that matches, and what it and its imports asked for. */
function loadedBy(
  requests: readonly { readonly url: string; readonly referrer: string }[],
  root: RegExp,
): string[] {
  const files = new Set(requests.map(({ url }) => url).filter((url) => root.test(url)));
  for (let before = -1; before !== files.size; ) {
    before = files.size;
    for (const { url, referrer } of requests) if (files.has(referrer)) files.add(url);
  }
  return [...files];
}

function gzipped(urls: readonly string[]): number {
  return [...new Set(urls.map((url) => basename(new URL(url).pathname)))].reduce(
    (sum, name) => sum + gzipSync(readFileSync(join(ASSETS, name))).length,
    0,
  );
}

interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly dur?: number;
  readonly args?: { readonly name?: string };
}

/** The longest task of a renderer's main thread, in milliseconds. */
function longestMainTask(trace: Buffer): number {
  const { traceEvents } = JSON.parse(trace.toString('utf8')) as { traceEvents: TraceEvent[] };
  const mains = new Set(
    traceEvents
      .filter((event) => event.name === 'thread_name' && event.args?.name === 'CrRendererMain')
      .map(({ pid, tid }) => `${pid}:${tid}`),
  );
  const durations = traceEvents
    .filter((event) => event.name === 'RunTask' && mains.has(`${event.pid}:${event.tid}`))
    .map((event) => (event.dur ?? 0) / 1000);
  if (durations.length === 0) throw new Error('the trace has no tasks of a main thread');
  return Math.max(...durations);
}

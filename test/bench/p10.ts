// P10: what a page pays: bytes loaded for engine and kernels (`../pack/engine-weight.ts` says what counts), time to the first
// snapshot, and the longest task of the main thread while the page is built, and while a guest is saved, compared and
// restored. The built page in Chromium, served from this machine. A task's length is given twice: as it was, and without
// what other work on the machine took of it.

import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { Browser, CDPSession } from 'playwright';
import type {} from '../../src/app/main.ts';
import { buildPage, servePage } from '../browser/app/page-server.ts';
import { launchBrowser } from '../browser/harness.ts';
import { BlankProject } from '../pack/blank-project.ts';
import { engineBytes, visitFirstSave } from '../pack/engine-weight.ts';
import { type BenchResult, type BenchRow, median } from './row.ts';

const ROUNDS = 7;
const MARKS = { begin: 'bench-begin', end: 'bench-end' };
const KIB = 1024;
const ASSETS = fileURLToPath(new URL('../../dist/page/assets', import.meta.url));

interface Visit {
  /** Files that the engine's worker had loaded when the first save was durable, itself included. */
  readonly engineFiles: readonly string[];
  readonly v86Files: readonly string[];
  readonly firstSnapshotMs: number;
  /** While the engine saves, restores and compares, the page being open already. */
  readonly longestAtWork: TaskLength;
  readonly longestTask: TaskLength;
}

/** Of the longest task, and of the one that used its core longest: with what else runs here, they may be two. */
interface TaskLength {
  readonly ms: number;
  readonly coreMs: number;
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
    const engine = await engineWeight();
    const worker = gzipped(visits[0]!.engineFiles);
    const v86 = gzipped(visits[0]!.v86Files);
    const first = median(visits.map((one) => one.firstSnapshotMs));
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
          name: 'the worker of this page, with calls from afar (KiB, gzip)',
          value: worker / KIB,
          unit: 'KiB',
          better: 'lower',
          ours: worker / KIB,
        },
        {
          name: 'opening the page to the first snapshot',
          value: first,
          unit: 'ms',
          better: 'lower',
          ours: first,
        },
        ...lengthsOf(
          'longest main-thread task while the engine works',
          visits.map((one) => one.longestAtWork),
        ),
        ...lengthsOf(
          'longest main-thread task of the visit',
          visits.map((one) => one.longestTask),
        ),
      ],
      notes: [
        'Engine + kernels is what a page of the package loads up to its first durable save, the guest left out: the figure of README.md.',
        `Files of the worker: ${visits[0]!.engineFiles.map((file) => basename(file)).join(', ')}.`,
        'The guest is Pulse, 16 MiB; a visit opens the page, saves at once, and when the page is at rest saves, compares and ' +
          'restores three times, effort fast. Tasks are read from the browser’s trace; it paints without a graphics processor.',
        'Core time is what the main thread had of a core; the rest of a task’s length it waited, for a core or for the ' +
          'browser’s font service, which is asked for one face a task.',
      ],
    };
  } finally {
    await browser.close();
    await server.close();
  }
}

/** Bytes, compressed, of the engine in a page of the package. */
async function engineWeight(): Promise<number> {
  const project = await BlankProject.linked();
  try {
    return engineBytes(await visitFirstSave(project));
  } finally {
    await project.remove();
  }
}

/** A measured length and its core time, as two results. */
function lengthsOf(name: string, lengths: readonly TaskLength[]): BenchResult[] {
  return (['ms', 'coreMs'] as const).map((kind) => {
    const value = median(lengths.map((length) => length[kind]));
    const full = kind === 'ms' ? name : `${name}, core time`;
    return { name: full, value, unit: 'ms', better: 'lower', goal: 16, ours: value };
  });
}

async function visit(browser: Browser, origin: string): Promise<Visit> {
  const context = await browser.newContext();
  const page = await context.newPage();
  const requests: { readonly url: string; readonly referrer: string }[] = [];
  page.on('request', (request) => {
    requests.push({ url: request.url(), referrer: request.headers().referer ?? '' });
  });
  const console = await context.newCDPSession(page);
  await browser.startTracing(page, {
    categories: ['disabled-by-default-devtools.timeline', 'blink.user_timing', '__metadata'],
  });
  const startMs = performance.now();
  await page.goto(origin);
  await evaluate(console, saveFirst);
  const firstSnapshotMs = performance.now() - startMs;
  const engineFiles = loadedBy(requests, /\/engine-[^/]*\.js$/);
  await evaluate(console, workAtRest, MARKS);
  const trace = await browser.stopTracing();
  await context.close();
  return {
    engineFiles,
    v86Files: requests.map(({ url }) => url).filter((url) => /\/(libv86|v86)-[^/]*\.(js|wasm)$/.test(url)),
    firstSnapshotMs,
    ...longestTasks(trace),
  };
}

/** Calls a function in the page as its console would. `page.evaluate` adds a script whose tasks are longer than ours. */
async function evaluate<Parameter>(
  console: CDPSession,
  fn: (parameter: Parameter) => Promise<void>,
  parameter?: Parameter,
): Promise<void> {
  const expression = `(${fn})(${JSON.stringify(parameter)})`;
  const { exceptionDetails } = await console.send('Runtime.evaluate', { expression, awaitPromise: true });
  if (exceptionDetails !== undefined)
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
}

/** Runs in the page: saves as soon as there is an engine. */
async function saveFirst(): Promise<void> {
  const { workspace } = window.vitrine;
  await new Promise<void>((resolve) => {
    workspace.engine.watch((engine) => {
      if (engine !== null) resolve();
    });
  });
  await workspace.save(await workspace.open('pulse'), 'first', 'fast');
}

/** Runs in the page: waits until all of it stands, then has the engine work. */
async function workAtRest(marks: typeof MARKS): Promise<void> {
  while (document.querySelector('.xterm-screen') === null || document.querySelector('.hex .row') === null) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  await new Promise((resolve) => requestIdleCallback(resolve));
  performance.mark(marks.begin);
  const { workspace } = window.vitrine;
  const machine = await workspace.open('pulse');
  for (let round = 0; round < 3; round++) {
    const { snapshot } = await workspace.save(machine, 'again', 'fast');
    await workspace.diff(snapshot.parent!, snapshot.id);
    await workspace.restore(machine, snapshot.parent!);
  }
  performance.mark(marks.end);
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
  /** Microseconds. */
  readonly ts: number;
  readonly dur?: number;
  /** Microseconds that the thread had a core. */
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}

/** The longest tasks of the page's main thread: between the marks, and of the whole trace. */
function longestTasks(trace: Buffer): Pick<Visit, 'longestAtWork' | 'longestTask'> {
  const { traceEvents } = JSON.parse(trace.toString('utf8')) as { traceEvents: TraceEvent[] };
  const begin = traceEvents.find((event) => event.name === MARKS.begin);
  const end = traceEvents.find((event) => event.name === MARKS.end);
  if (begin === undefined || end === undefined) throw new Error('the trace has no marks');
  // The page's main thread is the one that set the marks.
  const tasks = traceEvents.filter(
    (event) => event.name === 'RunTask' && event.pid === begin.pid && event.tid === begin.tid,
  );
  if (tasks.length === 0) throw new Error('the trace has no tasks of the main thread');
  const longest = (list: readonly TraceEvent[]): TaskLength => ({
    ms: Math.max(...list.map(({ dur = 0 }) => dur / 1000)),
    coreMs: Math.max(...list.map(({ tdur = 0 }) => tdur / 1000)),
  });
  return {
    longestAtWork: longest(tasks.filter((event) => event.ts >= begin.ts && event.ts <= end.ts)),
    longestTask: longest(tasks),
  };
}

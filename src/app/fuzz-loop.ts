// The fuzzing example in a worker, seed after seed until the worker is ended: each seed finds the planted bug anew. What it
// finds goes to the page a few times a second.

import { type FuzzReport, fuzzExample } from '../testing/fuzz-example.ts';

/** Between two pieces of news. */
const NEWS_MS = 250;
/** Documents that a seed may try; the bug takes it some ten thousand. */
const MAX_RUNS = 500_000;

/** What was done since the page was last told. */
export interface FuzzNews {
  readonly documents: number;
  /** Of the time in which documents were tried. */
  readonly durationMs: number;
  /** Seeds that found the bug. */
  readonly crashes: number;
  /** The last seed, what it printed, and its document that made the parser trap, if it found one. */
  readonly seed: number;
  readonly lines: readonly string[];
  readonly crasher: FuzzReport['crasher'];
}

/** Runs until the worker is ended. Throws what opening kernels throws. */
export async function fuzzOn(tell: (news: FuzzNews) => void): Promise<never> {
  let [documents, durationMs, crashes] = [0, 0, 0];
  let toldMs = performance.now();
  for (let seed = 1; ; seed++) {
    const lines: string[] = [];
    const report = await fuzzExample({ seed, maxRuns: MAX_RUNS, print: (line) => lines.push(line) });
    documents += report.runs;
    durationMs += report.durationMs;
    if (report.crasher !== null) crashes++;
    if (performance.now() - toldMs < NEWS_MS) continue;
    tell({ documents, durationMs, crashes, seed, lines, crasher: report.crasher });
    [documents, durationMs, crashes] = [0, 0, 0];
    toldMs = performance.now();
  }
}

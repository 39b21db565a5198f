// A fuzzer in a page of code, to copy and change: it mutates documents for the parser of `fuzz-target.ts`, keeps those that
// reach new branches, and has the whole program put back after each one. It finds the planted bug in well under a second,
// and says how many resets a second it did.
//
//   node -e "import('vitrine/testing').then(({ fuzzExample }) => fuzzExample({ print: console.log }))"
//
// All that is particular to the target is in `fuzz-runs.ts`: how it is opened, how a document is handed to it, who chooses the
// point that it starts from.

import { copyBytes, type OwnedBytes } from '../base/bytes.ts';
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import type { Kernels } from '../kernel/kernels.ts';
import { loadKernels } from '../kernel/load.ts';
import { mutate, showBytes } from './fuzz-document.ts';
import { openAsking, openPutBack } from './fuzz-runs.ts';
import { FUZZ_INPUT } from './fuzz-target.ts';
import { Random } from './random.ts';

export interface FuzzOptions {
  /** The same seed does the same. 1 when left out. */
  readonly seed?: number;
  /**
   * Who chooses the point that every document starts from: the `host`, when left out, with a checkpoint and resets, or the
   * `program`, which rings its doorbell when it has started up and again behind each document.
   */
  readonly point?: 'host' | 'program';
  /** Gives up after as many documents. A million when left out. */
  readonly maxRuns?: number;
  /** Gets a line for each finding, and the figures at the end. */
  readonly print?: (line: string) => void;
  readonly openKernels?: () => Promise<Kernels>;
  readonly clock?: Clock;
}

export interface FuzzReport {
  readonly runs: number;
  /** The document that made the parser trap; null when none was found. */
  readonly crasher: OwnedBytes | null;
  /** Documents that reached something new. */
  readonly corpus: readonly OwnedBytes[];
  /** How often the program was put back because it asked itself. */
  readonly resetsAsked: number;
  readonly durationMs: number;
  /** Resets in a second of the whole loop, mutation and parsing included. */
  readonly resetsPerSecond: number;
}

/** Fuzzes the example's target until it traps. Throws what opening kernels throws. */
export async function fuzzExample(options: FuzzOptions = {}): Promise<FuzzReport> {
  const { seed = 1, point = 'host', maxRuns = 1_000_000, print = () => {}, clock = SYSTEM_CLOCK } = options;
  const openKernels = options.openKernels ?? (() => loadKernels());
  const target = await (point === 'host' ? openPutBack : openAsking)(openKernels);
  try {
    const random = new Random(seed);
    const corpus: OwnedBytes[] = [new Uint8Array(4)];
    const document = new Uint8Array(FUZZ_INPUT.maxBytes);
    const startMs = clock.nowMs();
    let seen = 0;
    let runs = 0;
    let crasher: OwnedBytes | null = null;
    while (runs < maxRuns && crasher === null) {
      const length = mutate(random, random.pick(corpus), document);
      const input = document.subarray(0, length);
      runs++;
      try {
        const taken = target.run(input);
        if ((taken & ~seen) === 0) continue;
        seen |= taken;
        corpus.push(copyBytes(input));
        print(`new branch after ${runs} documents: ${showBytes(input)}`);
      } catch (error) {
        if (!(error instanceof WebAssembly.RuntimeError)) throw error;
        crasher = copyBytes(input);
        print(`${error.message} after ${runs} documents: ${showBytes(input)}`);
      }
    }
    const durationMs = clock.nowMs() - startMs;
    const resetsPerSecond = Math.round((1000 * runs) / Math.max(durationMs, 1e-3));
    print(
      `${runs} documents in ${Math.round(durationMs)} ms: ${resetsPerSecond} resets a second, seed ${seed}`,
    );
    const { resetsAsked } = target;
    return { runs, crasher, corpus: corpus.slice(1), resetsAsked, durationMs, resetsPerSecond };
  } finally {
    await target.close();
  }
}

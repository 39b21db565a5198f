// A fuzzer in a page of code, to copy and change: it mutates documents for the parser of `fuzz-target.ts`, keeps those that
// reach new branches, and puts the whole program back after each one with `resetNow`. It finds the planted bug in well
// under a second, and says how many resets a second it did.
//
//   node -e "import('vitrine/testing').then(({ fuzzExample }) => fuzzExample({ print: console.log }))"
//
// All that is particular to the target is in three places: how it is opened, how a document is handed to it, and what
// counts as new.

import { copyBytes, type OwnedBytes } from '../base/bytes.ts';
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { instantiateCaught } from '../guest/wasm/catch-instance.ts';
import { WasmInstanceGuest } from '../guest/wasm/wasm-instance.ts';
import type { Kernels } from '../kernel/kernels.ts';
import { loadKernels } from '../kernel/load.ts';
import { openScanTracker } from '../tracking/scan-tracker.ts';
import { FUZZ_COVERAGE, FUZZ_INPUT, type FuzzTargetExports, fuzzTargetModule } from './fuzz-target.ts';
import { Random } from './random.ts';

export interface FuzzOptions {
  /** The same seed does the same. 1 when left out. */
  readonly seed?: number;
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
  readonly durationMs: number;
  /** Resets in a second of the whole loop, mutation and parsing included. */
  readonly resetsPerSecond: number;
}

/** Fuzzes the example's target until it traps. Throws what opening kernels throws. */
export async function fuzzExample(options: FuzzOptions = {}): Promise<FuzzReport> {
  const { seed = 1, maxRuns = 1_000_000, print = () => {}, clock = SYSTEM_CLOCK } = options;
  const { exports, caught } = await instantiateCaught(fuzzTargetModule(), {}, { maxMemoryBytes: 2 * 65_536 });
  // Safe: the module exports just these.
  const target = exports as unknown as FuzzTargetExports;
  const guest = new WasmInstanceGuest(caught, { program: 'fuzz-target' });
  const tracker = await openScanTracker(guest, { openKernels: options.openKernels ?? (() => loadKernels()) });
  try {
    const random = new Random(seed);
    const corpus: OwnedBytes[] = [new Uint8Array(4)];
    const seen = new Uint8Array(FUZZ_COVERAGE.lengthBytes);
    const document = new Uint8Array(FUZZ_INPUT.maxBytes);
    const startMs = clock.nowMs();
    await tracker.checkpoint();
    let runs = 0;
    let crasher: OwnedBytes | null = null;
    while (runs < maxRuns && crasher === null) {
      const length = mutate(random, random.pick(corpus), document);
      const input = document.subarray(0, length);
      new Uint8Array(target.memory.buffer).set(input, FUZZ_INPUT.offsetBytes);
      runs++;
      try {
        target.parse(length);
        if (isNew(seen, target.memory)) {
          corpus.push(copyBytes(input));
          print(`new branch after ${runs} documents: ${showBytes(input)}`);
        }
      } catch (error) {
        if (!(error instanceof WebAssembly.RuntimeError)) throw error;
        crasher = copyBytes(input);
        print(`${error.message} after ${runs} documents: ${showBytes(input)}`);
      }
      tracker.resetNow();
    }
    const durationMs = clock.nowMs() - startMs;
    const resetsPerSecond = Math.round((1000 * runs) / Math.max(durationMs, 1e-3));
    print(
      `${runs} documents in ${Math.round(durationMs)} ms: ${resetsPerSecond} resets a second, seed ${seed}`,
    );
    return { runs, crasher, corpus: corpus.slice(1), durationMs, resetsPerSecond };
  } finally {
    await tracker.close();
  }
}

/** Writes a changed copy of `from` into `into`; returns its length. */
function mutate(random: Random, from: Uint8Array, into: Uint8Array): number {
  into.set(from);
  let length = from.length;
  for (let left = 1 + random.below(3); left > 0; left--) {
    const at = random.below(length);
    const kind = random.below(4);
    if (kind === 0) into[at] = random.u32();
    else if (kind === 1) into[at]! ^= 1 << random.below(8);
    else if (kind === 2) into[at] = random.pick(INTERESTING);
    else if (length < into.length) into[length++] = random.u32();
  }
  return length;
}

/** Small numbers, and those at which signed bytes turn over. */
const INTERESTING = [0, 1, 2, 3, 16, 0x7f, 0x80, 0xff];

/** Whether the run took a branch that none had taken before. */
function isNew(seen: Uint8Array, memory: WebAssembly.Memory): boolean {
  const taken = new Uint8Array(memory.buffer, FUZZ_COVERAGE.offsetBytes, FUZZ_COVERAGE.lengthBytes);
  let found = false;
  for (const [branch, count] of taken.entries()) {
    if (count === 0 || seen[branch] !== 0) continue;
    seen[branch] = 1;
    found = true;
  }
  return found;
}

function showBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

// A fuzzer of a program in a machine of a host, to copy and change: each document is written into the machine's memory, the machine runs
// for a moment, what it did is looked at, and all of it is put back: memory, processors, devices.
//
//   const bridge = await connectBridge(address, { WebSocket, token });
//   await fuzzMachine(bridge.machine('fuzz'), { input: { address: 0x2000, maxBytes: 64 }, coverage: …, failed: …, print: console.log });
//
// The machine is at the point where its program is about to read: `vitrine pause` brought it there, a breakpoint, or its doorbell. How the
// program tells how far it came is its own: here it sets bytes.

import { copyBytes, type OwnedBytes } from '../base/bytes.ts';
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { isVitrineError } from '../base/error.ts';
import { throwIfAborted } from '../base/work.ts';
import type { RemoteGuest } from '../bridge/remote-guest.ts';
import { mutate, showBytes } from './fuzz-document.ts';
import { Random } from './random.ts';

/** What a fuzzer does with a machine. */
export type FuzzedMachine = Pick<
  RemoteGuest,
  'pause' | 'resume' | 'checkpoint' | 'quicken' | 'reset' | 'poke' | 'peek'
>;

export interface FuzzMachineOptions {
  /** Where the program reads its document, by physical address; behind it is as much of it as was there. */
  readonly input: { readonly address: number; readonly maxBytes: number };
  /** Bytes that it sets as it gets further: a document by which it sets another one is kept. */
  readonly coverage: { readonly address: number; readonly lengthBytes: number };
  /** A byte that is not zero once it failed. */
  readonly failed: { readonly address: number };
  /** How long each document has, in milliseconds; 1 when left out. */
  readonly runMs?: number;
  /** The same seed tries the same documents. 1 when left out. */
  readonly seed?: number;
  /** Gives up after as many. A million when left out. */
  readonly maxRuns?: number;
  readonly signal?: AbortSignal;
  /** Gets a line for each finding, and the figures at the end. */
  readonly print?: (line: string) => void;
  readonly clock?: Clock;
}

export interface FuzzMachineReport {
  readonly runs: number;
  /** The document by which it failed; null when none was found. */
  readonly crasher: OwnedBytes | null;
  /** Documents by which it came further. */
  readonly corpus: readonly OwnedBytes[];
  readonly durationMs: number;
  /** Of the whole loop: writing, running, looking and going back. */
  readonly resetsPerSecond: number;
}

/**
 * Fuzzes until the program fails, and leaves the machine at rest where it began. Throws `aborted`, and what its calls throw.
 */
export async function fuzzMachine(
  machine: FuzzedMachine,
  options: FuzzMachineOptions,
): Promise<FuzzMachineReport> {
  const { input, coverage, failed, runMs = 1, seed = 1, maxRuns = 1_000_000, print = () => {} } = options;
  const clock = options.clock ?? SYSTEM_CLOCK;
  const random = new Random(seed);
  const corpus: OwnedBytes[] = [new Uint8Array(Math.min(4, input.maxBytes))];
  const document = new Uint8Array(input.maxBytes);
  await machine.pause();
  await machine.checkpoint();
  // From now on a reset looks at what was written alone, where the machine can move.
  await machine.quicken().catch((error: unknown) => {
    if (!isVitrineError(error, 'unsupported')) throw error;
  });
  const looked = [
    { address: coverage.address, lengthBytes: coverage.lengthBytes },
    { address: failed.address, lengthBytes: 1 },
  ];
  const seen = new Uint8Array(coverage.lengthBytes);
  const startMs = clock.nowMs();
  let runs = 0;
  let crasher: OwnedBytes | null = null;
  while (runs < maxRuns && crasher === null) {
    throwIfAborted(options.signal);
    const length = mutate(random, random.pick(corpus), document);
    const tried = copyBytes(document.subarray(0, length));
    await machine.poke({ address: input.address }, tried);
    await machine.resume();
    await new Promise((resolve) => setTimeout(resolve, runMs));
    await machine.pause();
    const [reached, outcome] = (await machine.peek(looked)).bytes;
    await machine.reset();
    runs++;
    if (outcome![0] !== 0) {
      crasher = tried;
      print(`failed after ${runs} documents: ${showBytes(tried)}`);
    } else if (isFurther(reached!, seen)) {
      corpus.push(tried);
      print(`further after ${runs} documents: ${showBytes(tried)}`);
    }
  }
  const durationMs = clock.nowMs() - startMs;
  const resetsPerSecond = Math.round((1000 * runs) / Math.max(durationMs, 1e-3));
  print(
    `${runs} documents in ${Math.round(durationMs)} ms: ${resetsPerSecond} resets a second, seed ${seed}`,
  );
  return { runs, crasher, corpus: corpus.slice(1), durationMs, resetsPerSecond };
}

/** Notes what was reached; whether there is something among it that was not. */
function isFurther(reached: Uint8Array, seen: Uint8Array): boolean {
  let isNew = false;
  for (const [at, byte] of reached.entries()) {
    if ((byte & ~seen[at]!) === 0) continue;
    seen[at]! |= byte;
    isNew = true;
  }
  return isNew;
}

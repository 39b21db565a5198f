// The target of the fuzzing example, opened so that one document is one run: each starts from the same point of the program.
// Who chooses the point is the difference.
//
//   host      the example sets a checkpoint as soon as the program is there, and goes back to it after each document
//   program   it rings its doorbell when it has started up, and behind each document; the example only hands documents in
//
// A real target is opened as these are; both are here to be copied.

import { VitrineError } from '../base/error.ts';
import { instantiateCaught } from '../guest/wasm/catch-instance.ts';
import { wasmDoorbell } from '../guest/wasm/doorbell.ts';
import { WasmInstanceGuest } from '../guest/wasm/wasm-instance.ts';
import type { Kernels } from '../kernel/kernels.ts';
import { openScanTracker } from '../tracking/scan-tracker.ts';
import {
  FUZZ_COVERAGE,
  FUZZ_INPUT,
  type FuzzAskingExports,
  type FuzzTargetExports,
  fuzzAskingModule,
  fuzzTargetModule,
} from './fuzz-target.ts';

/** Steps in which a program that starts up must have rung; ours takes 32. */
const MAX_START_STEPS = 1000;

/** It may ring as often as it likes: a reset for each document is what it is run for. */
const ANY_RATE = 1e9;

const MEMORY = { maxMemoryBytes: 2 * 65_536 };

/** A program that stands at its point. */
export interface FuzzRuns {
  /**
   * Hands one document in. Returns the branches that it took, a bit each; the program is at its point again then, also when
   * the document made it trap, which throws `WebAssembly.RuntimeError`.
   */
  run(document: Uint8Array): number;
  /** How often the program was put back because it asked. */
  readonly resetsAsked: number;
  close(): Promise<void>;
}

/** The host chooses: the program knows nothing of it. Throws what opening kernels throws. */
export async function openPutBack(openKernels: () => Promise<Kernels>): Promise<FuzzRuns> {
  const { exports, caught } = await instantiateCaught(fuzzTargetModule(), {}, MEMORY);
  // Safe: the module exports just these.
  const target = exports as unknown as FuzzTargetExports;
  const guest = new WasmInstanceGuest(caught, { program: 'fuzz-target' });
  const tracker = await openScanTracker(guest, { openKernels });
  await tracker.checkpoint();
  return {
    run(document) {
      new Uint8Array(target.memory.buffer).set(document, FUZZ_INPUT.offsetBytes);
      try {
        target.parse(document.length);
        return branchesTaken(target.memory);
      } finally {
        tracker.resetNow();
      }
    },
    resetsAsked: 0,
    close: () => tracker.close(),
  };
}

/** The program chooses. Throws what opening kernels throws, and `wrong-state` where it never rings. */
export async function openAsking(openKernels: () => Promise<Kernels>): Promise<FuzzRuns> {
  const { desk, imports } = wasmDoorbell();
  const { exports, caught } = await instantiateCaught(fuzzAskingModule(), { vitrine: imports }, MEMORY);
  // Safe: the module exports just these.
  const target = exports as unknown as FuzzAskingExports;
  const guest = new WasmInstanceGuest(caught, { program: 'fuzz-asking', doorbell: desk });
  const tracker = await openScanTracker(guest, { openKernels });
  await tracker.doorbell.serve({ serve: 'checkpoint', maxPerSecond: ANY_RATE });
  // `enter` waits while a ring is answered: a checkpoint takes a moment, a reset none.
  for (let steps = 0; desk.counts.saves === 0; steps++) {
    if (steps > MAX_START_STEPS) {
      await tracker.close();
      throw new VitrineError('wrong-state', { actual: 'never rang', required: 'saved' });
    }
    await guest.enter(() => target.step(0));
    await guest.enter(() => {});
  }
  return {
    run(document) {
      new Uint8Array(target.memory.buffer).set(document, FUZZ_INPUT.offsetBytes);
      try {
        return target.step(document.length);
      } catch (error) {
        // Who has trapped rings no more.
        tracker.resetNow();
        throw error;
      }
    },
    get resetsAsked() {
      return desk.counts.resets;
    },
    close: () => tracker.close(),
  };
}

function branchesTaken(memory: WebAssembly.Memory): number {
  const counts = new Uint8Array(memory.buffer, FUZZ_COVERAGE.offsetBytes, FUZZ_COVERAGE.lengthBytes);
  return counts.reduce((taken, count, branch) => taken | (count === 0 ? 0 : 1 << branch), 0);
}

// The doorbell of a WebAssembly program: its instant is when the last call has returned, and answers are read in later calls.

import { afterEach, describe, expect, it } from 'vitest';
import { DOORBELL_WORDS } from '../../../src/guest/doorbell.ts';
import { instantiateCaught, WasmInstanceGuest, wasmDoorbell } from '../../../src/guest/wasm/index.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { openScanTracker, type ScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { wat } from '../../support/wat.ts';

const { save, reset, first, restored, refused, nobody } = DOORBELL_WORDS;
const code = (name: string) => expect.objectContaining({ code: name });

/** Counts its calls, rings when it is told to, goes on counting in the same call, and says what it read. */
const PROGRAM = `(module
  (import "vitrine" "ring" (func $ring (param i32) (result i32)))
  (import "vitrine" "answer" (func $answer (result i32)))
  (import "host" "again" (func $again (param i32)))
  (memory (export "memory") 1)
  (func (export "step") (param $word i32) (result i32)
    (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
    (if (local.get $word) (then
      (i32.store (i32.const 20) (call $ring (local.get $word)))
      (call $again (i32.const 0))
      (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 100)))))
    (i32.load (i32.const 16)))
  (func (export "inner") (i32.store (i32.const 24) (i32.const 7)))
  (func (export "heard") (result i32) (call $answer)))`;

interface Exports {
  readonly memory: WebAssembly.Memory;
  step(word: number): number;
  inner(): void;
  heard(): number;
}

const trackers: ScanTracker[] = [];
afterEach(async () => {
  for (const tracker of trackers.splice(0)) await tracker.close();
});

async function open() {
  const { desk, imports } = wasmDoorbell();
  let exports: Exports;
  const host = { again: () => exports.inner() };
  const made = await instantiateCaught(await wat(PROGRAM), { vitrine: imports, host });
  // Safe: the module exports just these.
  exports = made.exports as unknown as Exports;
  const guest = new WasmInstanceGuest(made.caught, { program: 'bell', doorbell: desk });
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  trackers.push(tracker);
  return { guest, tracker, step: (word = 0) => guest.enter(() => exports.step(word)), exports };
}

describe('a WebAssembly program that rings', () => {
  it('is saved when its call has returned, and comes back there', async () => {
    const { tracker, step, exports } = await open();
    await tracker.doorbell.serve({ serve: 'checkpoint', maxPerSecond: 1e6 });
    expect(await step()).toBe(1);
    // All of the call that rang is in the checkpoint, what it did after the ring too.
    expect(await step(save)).toBe(102);
    expect(await step()).toBe(103);
    expect(exports.heard()).toBe(first);
    for (let round = 0; round < 3; round++) {
      expect(await step(reset)).toBeGreaterThan(203);
      expect(await step()).toBe(103);
      expect(exports.heard()).toBe(restored);
      await step();
    }
    expect(await tracker.doorbell.report()).toMatchObject({ rings: 4, saves: 1, resets: 3, refused: 0 });
  });

  it('is not served between an import and the call that it is part of', async () => {
    const { guest, step } = await open();
    const depths: number[] = [];
    guest.doorbell!.serve(
      () => {
        depths.push(guest.callDepth);
        return 'first';
      },
      { maxPerSecond: 1e6 },
    );
    await step(save);
    expect(depths).toEqual([0]);
  });

  it('finds nobody, or is refused, and goes on', async () => {
    const { tracker, step, exports } = await open();
    expect(await step(save)).toBe(101);
    expect(exports.heard()).toBe(nobody);
    await tracker.doorbell.serve({ serve: 'checkpoint', maxPerSecond: 1e6 });
    expect(await step(reset)).toBe(202);
    await step();
    expect(exports.heard()).toBe(refused);
  });

  it('is held while it is answered: plain calls are refused, others wait', async () => {
    const { guest, step, exports } = await open();
    let settle: (answer: 'first') => void = () => {};
    guest.doorbell!.serve(() => new Promise((resolve) => (settle = resolve)), { maxPerSecond: 1e6 });
    await step(save);
    expect(() => exports.step(0)).toThrow(code('wrong-state'));
    const waiting = step();
    settle('first');
    expect(await waiting).toBe(102);
  });

  it('is refused when it cannot rest even then, and may ring again', async () => {
    const { desk, imports } = wasmDoorbell();
    const made = await instantiateCaught(await wat(PROGRAM), { vitrine: imports, host: { again: () => {} } });
    let rests = false;
    const guest = new WasmInstanceGuest(made.caught, {
      program: 'bell',
      doorbell: desk,
      isQuiescent: () => rests,
    });
    const exports = made.exports as unknown as Exports;
    desk.serve(() => 'first', { maxPerSecond: 1e6 });
    await guest.enter(() => exports.step(save));
    await guest.enter(() => exports.step(0));
    expect(desk.word).toBe(refused);
    rests = true;
    await guest.enter(() => exports.step(save));
    expect(desk.word).toBe(first);
    await guest.close();
  });
});

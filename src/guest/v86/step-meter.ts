// Counts and ends the slices of a machine whose program was rewritten by `step-program.ts`: 100,003 steps each, or fewer where
// the processor halts. A slice can be cut at any step; what follows then is its rest, and nothing of the machine shows that
// there was a cut: timers and interrupts have their turn at the slice's end alone.

import { END_MARK, FLAG_INTERRUPT, STEP_GLOBALS } from './step-program.ts';
import { CPU_BLOCK } from './v86-internals.ts';

/** v86's own bound, so that its clocks run as they do upstream. */
const SLICE_STEPS = 100_003;

type Counter = WebAssembly.Global<'i32'>;

export class StepMeter {
  readonly #memory: WebAssembly.Memory;
  readonly #left: Counter;
  readonly #cuts: Counter;
  readonly #held: Counter;
  /** Steps before those of the last grant. */
  #before = 0;
  #granted = 0;
  /** Of the slice that was cut; 0 between two. */
  #rest = 0;
  #isMarked = false;

  constructor(exports: WebAssembly.Exports) {
    // Safe: `isStepped` saw them.
    this.#memory = exports.memory as WebAssembly.Memory;
    this.#left = exports[STEP_GLOBALS.left] as Counter;
    this.#cuts = exports[STEP_GLOBALS.cuts] as Counter;
    this.#held = exports[STEP_GLOBALS.held] as Counter;
  }

  /** Since the beginning; exact in the middle of a slice too. */
  get instructions(): number {
    return this.#before + this.#granted - this.#left.value;
  }

  /** Whether the last slice was cut, so that the next one is its rest. */
  get isCut(): boolean {
    return this.#rest > 0;
  }

  begin(): void {
    this.#before = 0;
    this.#granted = 0;
    this.#left.value = 0;
    this.#rest = 0;
  }

  /** A slice, or the rest of one, begins: it is cut after `mostSteps` if it is longer. At least one step. */
  start(mostSteps: number): void {
    if (this.#rest === 0) this.#rest = SLICE_STEPS;
    this.#before = this.instructions;
    this.#granted = Math.max(1, Math.min(this.#rest, mostSteps));
    this.#left.value = this.#granted;
    this.#cuts.value = this.#granted < this.#rest ? 1 : 0;
    this.#held.value = 0;
    this.#isMarked = this.#cuts.value === 0;
  }

  /** The processor was held at a cut, in the slice that ends now. */
  get isHeld(): boolean {
    return this.#held.value !== 0;
  }

  /** Called when v86 would run its timers: whether it may. */
  mayRunTimers(): boolean {
    if (this.isHeld) return false;
    if (this.#isMarked && this.#left.value === 0) {
      const memory = new DataView(this.#memory.buffer);
      const counter = memory.getInt32(CPU_BLOCK.instructionCounter, true);
      memory.setInt32(CPU_BLOCK.instructionCounter, counter - END_MARK, true);
      this.#isMarked = false;
    }
    return true;
  }

  /** The run is over: where it was cut the processor is as its last instruction left it. */
  finish(): void {
    this.#rest -= this.#granted - this.#left.value;
    const held = this.#held.value;
    if (held === 0) {
      this.#rest = 0;
      return;
    }
    const memory = new DataView(this.#memory.buffer);
    memory.setUint8(CPU_BLOCK.halted, 0);
    const flags = memory.getInt32(CPU_BLOCK.flags, true) | (held & FLAG_INTERRUPT);
    memory.setInt32(CPU_BLOCK.flags, flags, true);
    this.#held.value = 0;
  }
}

/** Whether an instance's program was rewritten. */
export function isStepped(exports: WebAssembly.Exports): boolean {
  return exports[STEP_GLOBALS.left] instanceof WebAssembly.Global;
}

/** The same of a program that no machine was made of yet. */
export function isSteppedModule(module: WebAssembly.Module): boolean {
  return WebAssembly.Module.exports(module).some(({ name }) => name === STEP_GLOBALS.left);
}

// Time and randomness of a machine that does the same each time. v86 asks the host for both in four ways: two imports of
// its program (`microtick`, `get_rand_int`), the static `microtick` that its timers read, and `Date` for the calendar.
// All four are answered from here, by what the machine itself did:
//
//   now = START + (instructions + sleep) / 65,536 ms
//
// An instruction takes 1/65,536 ms, a step: exact in a double, and what snapshots round instants to, so that a saved and
// loaded instant is the same. A slice of 100,003 instructions is longer than v86's frame of 1 ms, so that each is one run.
// When the machine sleeps its clock moves on by the time that it asked for, at once; whoever shows it may wait as long.
//
// v86's time-stamp counter guesses at a clock that stands still, from statics that no restore resets. No two readings are
// equal here: those of the host, between slices, lie between two steps, and one far off comes before it is set.
//
// `Date` and the static are the platform's and v86's own for all machines: they are replaced only while a machine's code
// runs, which is never across an await.

import { VitrineError } from '../../base/error.ts';
import type { OrderlyCode } from './orderly-code.ts';
import { Random32 } from './random-32.ts';
import { isStepped, StepMeter } from './step-meter.ts';
import { CPU_BLOCK } from './v86-internals.ts';

/** Steps of a millisecond. */
export const STEPS_PER_MS = 65_536;

/** What the clocks show where time begins: far from zero, which timers take for "never". */
const START_MS = 1 << 20;
const WALL_START_MS = Date.UTC(2026, 0, 1);

/** Parts of a step that the host's readings are told apart by. */
const HOST_PARTS = 8;

/** Farther than the time-stamp counter is moved by a load. */
const PARKED_MS = 2 ** 32;

/** What has to be answered by the virtual clock while `work` runs. */
interface ClockOwner {
  microtick: () => number;
}

let running: VirtualTime | undefined;
const owners = new WeakSet<ClockOwner>();
const times = new WeakMap<WebAssembly.Exports, VirtualTime>();

/**
 * The time of an instance that `withVirtualTime` made; undefined for one in the host's time. Throws `unsupported` for one of a
 * program that would never end a slice in that.
 */
export function virtualTimeOf(exports: WebAssembly.Exports): VirtualTime | undefined {
  const time = times.get(exports);
  if (time === undefined && isStepped(exports)) {
    throw new VitrineError('unsupported', { missing: "a program without steps: 'single'" });
  }
  return time;
}

/** A `wasm_fn` whose instances live in a time of their own. */
export function withVirtualTime(
  instantiate: (imports: WebAssembly.Imports) => Promise<WebAssembly.Exports>,
  code?: OrderlyCode,
): (imports: WebAssembly.Imports) => Promise<WebAssembly.Exports> {
  return async (imports) => {
    const time = new VirtualTime(code);
    // Safe: v86 imports it by this name and type.
    const runTimers = imports.env?.run_hardware_timers as (acpi: number, nowMs: number) => number;
    const env = {
      ...imports.env,
      microtick: () => time.read(),
      get_rand_int: () => time.random(),
      // Timers note instants: whole steps alone. What they return is how long to sleep.
      run_hardware_timers: (acpi: number) => (time.mayRunTimers() ? runTimers(acpi, time.nowMs) : 0),
    };
    const exports = await instantiate({ ...imports, env });
    times.set(exports, time);
    time.attach(exports);
    return exports;
  };
}

export class VirtualTime {
  /** The compiled code that follows this time; undefined for a machine that is interpreted. */
  readonly code: OrderlyCode | undefined;
  readonly #random = new Random32();
  #exports: WebAssembly.Exports | undefined;
  /** What ends slices exactly; undefined where v86 ends them. */
  #meter: StepMeter | undefined;
  /** The instruction counter when it was folded into `#instructions`. */
  #counted = 0;
  #instructions = 0;
  #sleptSteps = 0;
  #lastInstruction = 0;
  #held = false;
  #inSlice = false;
  #hostReadings = 0;
  #parkedMs = 0;
  /** The last reading of the program in this slice, and those before it at the same step. */
  #readSteps = -1;
  #sameReadings = 0;
  #sliceStartMs = 0;
  /** The program looks at the clock first, to know when the slice began. */
  #tellsStart = false;

  constructor(code?: OrderlyCode) {
    this.code = code;
  }

  /** The instance that lives in this time. */
  attach(exports: WebAssembly.Exports): void {
    this.#exports = exports;
    if (isStepped(exports)) this.#meter = new StepMeter(exports);
  }

  /** Whether slices can be cut, so that a run ends at any instruction. */
  get isStepped(): boolean {
    return this.#meter !== undefined;
  }

  /** Whether the last slice was cut: the next one is its rest. */
  get isCut(): boolean {
    return this.#meter?.isCut === true;
  }

  /** Instructions since the beginning. */
  get instructions(): number {
    if (this.#meter !== undefined) return this.#meter.instructions;
    this.#fold();
    return this.#instructions;
  }

  /** Instructions, and sleep in steps. */
  get steps(): number {
    return this.instructions + this.#sleptSteps;
  }

  /** Steps behind the last instruction: fewer than `steps` where the machine slept since. 0 before the first. */
  get lastInstruction(): number {
    return this.#lastInstruction;
  }

  /** Milliseconds, in whole steps. */
  get nowMs(): number {
    return START_MS + this.steps / STEPS_PER_MS;
  }

  /** What the calendar shows, in whole milliseconds since 1970. */
  get wallMs(): number {
    return WALL_START_MS + Math.floor(this.nowMs - START_MS);
  }

  /** What v86's program is told: `nowMs` in a slice, a part of a step later for each reading at one step, and outside of one. */
  read(): number {
    if (this.#inSlice) return this.#readInSlice();
    this.#hostReadings = (this.#hostReadings % (HOST_PARTS - 1)) + 1;
    return this.nowMs + this.#parkedMs + this.#hostReadings / HOST_PARTS / STEPS_PER_MS;
  }

  /**
   * Instructions are counted at the ends of the runs that the program makes of them, so that several readings may come at
   * one step. Each is an instruction of its own, so their parts never reach the step that the run ends at.
   */
  #readInSlice(): number {
    if (this.#tellsStart) {
      this.#tellsStart = false;
      return this.#sliceStartMs;
    }
    // At a cut the loop looks once more than it would without.
    if (this.#meter?.isHeld === true) return this.nowMs;
    const { steps } = this;
    this.#sameReadings = steps === this.#readSteps ? this.#sameReadings + 1 : 0;
    this.#readSteps = steps;
    return this.nowMs + this.#sameReadings / HOST_PARTS / STEPS_PER_MS;
  }

  /** What v86's timers are told: they note instants, whole steps in a slice. */
  readByDevice(): number {
    return this.#inSlice ? this.nowMs : this.read();
  }

  /** Whether v86 may run its timers now, which it would at a cut as well. */
  mayRunTimers(): boolean {
    return this.#meter === undefined || this.#meter.mayRunTimers();
  }

  random(): number {
    return this.#random.next();
  }

  /** Time and randomness start over. */
  begin(): void {
    this.#counted = this.#counter();
    this.#instructions = 0;
    this.#sleptSteps = 0;
    this.#lastInstruction = 0;
    this.#hostReadings = 0;
    this.#meter?.begin();
    this.#random.begin();
  }

  /**
   * Runs a slice, which returns how long the machine then sleeps. Its clock moves on in any case. Where slices can be cut it
   * ends after `mostSteps` at the latest.
   */
  slice(owner: ClockOwner, work: () => number, mostSteps: number): number {
    const before = this.instructions;
    this.#tellsStart = this.isCut;
    if (!this.isCut) {
      this.#sliceStartMs = this.nowMs;
      this.#readSteps = -1;
    }
    this.#meter?.start(mostSteps);
    this.#inSlice = true;
    try {
      const sleepMs = this.within(owner, work);
      this.#meter?.finish();
      const idle = this.instructions === before ? 1 : 0;
      if (idle === 0) this.#lastInstruction = this.steps;
      if (this.isCut) return 0;
      this.#sleptSteps += Math.max(idle, Math.ceil(sleepMs * STEPS_PER_MS));
      this.code?.settle();
      return sleepMs;
    } finally {
      this.#inSlice = false;
      this.#hostReadings = 0;
    }
  }

  /** Runs code of the machine that is no slice, input for one, in its time. */
  within<T>(owner: ClockOwner, work: () => T): T {
    intercept(owner);
    const outer = running;
    const platform = globalThis.Date;
    running = this;
    globalThis.Date = dateOf(this, platform);
    try {
      return work();
    } finally {
      globalThis.Date = platform;
      running = outer;
    }
  }

  /** Runs what loads state, the instruction counter with it: time stands still meanwhile. */
  holding<T>(owner: ClockOwner, work: () => T): T {
    this.#fold();
    this.#held = true;
    try {
      return this.within(owner, work);
    } finally {
      this.#held = false;
      this.#counted = this.#counter();
    }
  }

  /**
   * Before the time-stamp counter is set: its last reading becomes one that none of this time is equal to, and those that
   * follow are the same whatever was read before. Saves read it too.
   */
  parkTsc(): void {
    this.#parkedMs = PARKED_MS;
    // Safe: `checkInternals` saw the function.
    const readTsc = this.#exports?.read_tsc as (() => bigint) | undefined;
    readTsc?.();
    this.#parkedMs = 0;
    this.#hostReadings = 0;
  }

  #fold(): void {
    if (this.#held) return;
    const counter = this.#counter();
    // The counter has 32 bits; a slice is far shorter than its round.
    this.#instructions += (counter - this.#counted) >>> 0;
    this.#counted = counter;
  }

  #counter(): number {
    if (this.#exports === undefined) return 0;
    const { buffer } = this.#exports.memory as WebAssembly.Memory;
    return new Uint32Array(buffer, CPU_BLOCK.instructionCounter, 1)[0]!;
  }
}

/** Lets v86's static answer by the machine that runs. */
function intercept(owner: ClockOwner): void {
  if (owners.has(owner)) return;
  owners.add(owner);
  const original = owner.microtick;
  owner.microtick = () => (running === undefined ? original() : running.readByDevice());
}

function dateOf(time: VirtualTime, platform: DateConstructor): DateConstructor {
  return new Proxy(platform, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [time.wallMs] : args, newTarget),
    get: (target, name) => (name === 'now' ? () => time.wallMs : Reflect.get(target, name)),
  });
}

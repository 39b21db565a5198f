// A v86 machine that does the same each time: it lives in virtual time (`deterministic-clock.ts`), input enters between
// two slices alone, the screen is drawn by the machine's own clock, and each slice begins with an empty TLB, so that
// neither a save nor a take of marks, which empty it, changes which page-table bits the machine sets.
//
// A slice is one run of v86's loop: 100,003 instructions (compiled code goes on to the end of a block), or fewer where the
// machine halts. That is how exactly a run can be ended and an input be placed.

import { VitrineError } from '../../base/error.ts';
import { nextTask } from '../../base/pacing.ts';
import { throwIfAborted } from '../../base/work.ts';
import type { InputValue } from '../input-log.ts';
import type { Replay, ReplayPosition } from '../replay.ts';
import type { VirtualTime } from './deterministic-clock.ts';
import { type ProcessorView, viewProcessor } from './processor-view.ts';
import type { V86Bus, V86Cpu, V86Emulator } from './v86-internals.ts';

const FRAMES_PER_SECOND = 60;

/** Slices without a turn for other tasks: some tens of milliseconds. */
const SLICES_PER_TURN = 8;

/** What passes over the bus to v86 itself, or from it to a page. */
const NOT_INPUT = /^(cpu|emulator|screen|download|eth|ide|9p)-/;

export interface ReplayHooks {
  requirePaused(): void;
  /** Reads the machine's state, calls `between`, and loads it. */
  reload(between: () => void): void;
  /** The rest ends, and begins again: the machine's instants follow its clock. */
  leaveRest(): void;
  enterRest(): void;
  drawFrame(): void;
  onFailure(cause: unknown): void;
}

/** Told of each input as it enters. */
export type InputListener = (position: ReplayPosition, name: string, value: unknown) => void;

export class V86Replay implements Replay {
  readonly #cpu: V86Cpu;
  readonly #bus: V86Bus;
  readonly #owner: { microtick: () => number };
  readonly #time: VirtualTime;
  readonly #hooks: ReplayHooks;
  readonly #mainLoop: () => number;
  readonly #send: V86Bus['send'];
  readonly #emptyTlb: () => void;
  #slices = 0;
  #frames = 0;
  #inSlice = false;
  #isRunning = false;
  /** Where the slice that runs next is cut, in steps. */
  #until = Number.POSITIVE_INFINITY;
  /** Input that came in a slice, from a listener to what the machine sends. */
  #late: (readonly [name: string, value: unknown])[] = [];
  /** Told of input; there while one records. */
  onInput: InputListener | undefined;
  /** Called before each slice of `run`: a log's input enters. */
  beforeSlice: (() => void) | undefined;
  /** State was loaded, or memory written, by somebody else; or what a save does was done in the middle of a slice. */
  onDisturbed: (() => void) | undefined;

  constructor(emulator: V86Emulator, time: VirtualTime, hooks: ReplayHooks) {
    this.#cpu = emulator.v86.cpu;
    this.#bus = emulator.bus;
    this.#owner = emulator.v86.constructor;
    this.#time = time;
    this.#hooks = hooks;
    this.#mainLoop = this.#cpu.main_loop;
    this.#cpu.main_loop = () => this.#slice();
    this.#send = this.#bus.send;
    this.#emptyTlb = this.#cpu.full_clear_tlb;
    this.#cpu.full_clear_tlb = () => {
      this.#emptyTlb.call(this.#cpu);
      // The rest of the slice would go through page tables anew, which guests can see.
      if (this.#time.isCut) this.onDisturbed?.();
    };
    this.#bus.send = (name, value) => {
      if (NOT_INPUT.test(name)) this.#send.call(this.#bus, name, value);
      else if (this.#inSlice) this.#late.push([name, value]);
      else this.#enter(name, value);
    };
    this.#settleBoot();
  }

  /** Whether it runs compiled code, which ends its slices elsewhere than an interpreted machine's. */
  get isCompiled(): boolean {
    return this.#time.code !== undefined;
  }

  /** What a person reads of the processor. */
  get processor(): ProcessorView {
    const { wasm_memory: memory, mem8 } = this.#cpu;
    return viewProcessor(memory.buffer, new Uint8Array(memory.buffer, mem8.byteOffset, mem8.length));
  }

  /** Steps behind the last instruction: fewer than its position has where the machine slept since. */
  get lastInstruction(): number {
    return this.#time.lastInstruction;
  }

  get position(): ReplayPosition {
    return { steps: this.#time.steps, slices: this.#slices };
  }

  begin(): void {
    this.#hooks.requirePaused();
    this.#hooks.reload(() => {
      this.#time.begin();
      this.#slices = 0;
      this.#frames = 0;
    });
    this.#time.code?.begin(this.#cpu);
  }

  async run(steps: number, signal?: AbortSignal): Promise<ReplayPosition> {
    const target = this.position.steps + steps;
    await this.runWhile((position) => position.steps < target, signal);
    return this.position;
  }

  /** Whether a run can end at any instruction: it is interpreted. */
  get isStepped(): boolean {
    return this.#time.isStepped;
  }

  /**
   * Runs the paused guest on by itself to `steps` since the beginning: to the very instruction where it is stepped, else to the
   * end of the slice that holds it. As `run`; throws `wrong-state` while one records, since input enters at slices' ends.
   */
  async runTo(steps: number, signal?: AbortSignal): Promise<ReplayPosition> {
    if (this.onInput !== undefined) {
      throw new VitrineError('wrong-state', { actual: 'a recording is under way', required: 'none' });
    }
    await this.runWhile((position) => position.steps < steps, signal, steps);
    return this.position;
  }

  /**
   * Runs slice by slice while `wanted` says so. As `run`, but where the machine is stepped the slice that holds `until` steps is
   * cut there. The rest of a slice is run as if there had been no cut, provided that nothing was saved or written in it.
   */
  async runWhile(
    wanted: (position: ReplayPosition) => boolean,
    signal?: AbortSignal,
    until = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    this.#hooks.requirePaused();
    if (this.#isRunning) throw new VitrineError('busy', { underWay: 'a run' });
    if (!wanted(this.position)) return;
    this.#isRunning = true;
    this.#hooks.leaveRest();
    try {
      for (let done = 1; wanted(this.position); done++) {
        throwIfAborted(signal);
        if (!this.#time.isCut) this.beforeSlice?.();
        this.#until = until;
        this.#runSlice();
        if (done % SLICES_PER_TURN !== 0) continue;
        await nextTask();
        // It may have been closed meanwhile.
        this.#hooks.requirePaused();
      }
    } finally {
      this.#isRunning = false;
      this.#until = Number.POSITIVE_INFINITY;
      this.#hooks.enterRest();
    }
  }

  /** Lets a recorded input enter. */
  enterRecorded(name: string, value: InputValue): void {
    this.#enter(name, value);
  }

  /** Runs what loads state: the machine's clock stands still. */
  holding<T>(work: () => T): T {
    if (!this.#isRunning) this.onDisturbed?.();
    return this.#time.holding(this.#owner, work);
  }

  /** Gives the emulator its own functions back. */
  remove(): void {
    this.#cpu.main_loop = this.#mainLoop;
    this.#bus.send = this.#send;
    this.#cpu.full_clear_tlb = this.#emptyTlb;
  }

  #runSlice(): void {
    try {
      // What the doorbell and others put around it included.
      this.#cpu.main_loop();
    } catch (cause) {
      this.#hooks.onFailure(cause);
      throw new VitrineError('guest-failed', {}, { cause });
    }
  }

  #slice(): number {
    if (!this.#time.isCut) this.#beginSlice();
    this.#inSlice = true;
    try {
      const work = () => this.#mainLoop.call(this.#cpu);
      return this.#time.slice(this.#owner, work, this.#until - this.#time.steps);
    } finally {
      this.#inSlice = false;
      if (!this.#time.isCut) this.#endSlice();
    }
  }

  #beginSlice(): void {
    const frame = Math.floor((this.#time.steps * FRAMES_PER_SECOND) / (1000 * 65_536));
    if (frame !== this.#frames) this.#time.within(this.#owner, () => this.#hooks.drawFrame());
    this.#frames = frame;
    this.#cpu.full_clear_tlb();
  }

  #endSlice(): void {
    this.#slices++;
    for (const [name, value] of this.#late.splice(0)) this.#enter(name, value);
  }

  #enter(name: string, value: unknown): void {
    this.onInput?.(this.position, name, value);
    this.#time.within(this.#owner, () => this.#send.call(this.#bus, name, value));
  }

  /** What the devices noted of the host's time while they were made. */
  #settleBoot(): void {
    const { rtc, pit, acpi } = this.#cpu.devices;
    const { nowMs, wallMs } = this.#time;
    Object.assign(rtc, { rtc_time: wallMs, last_update: wallMs });
    pit.counter_start_time.fill(nowMs);
    if (acpi !== undefined) acpi.last_timer = acpi.get_timer(nowMs);
  }
}

// Runs a chip instruction by instruction, all of it by the chip's own clock: the same state does the same thing again.
//
// The package's `Simulator` runs PIO programs from a timer of the host, 1,000 steps whenever the page has time, so that
// what they did when is not to be had again. Here each of the chip's cycles is a step of every PIO block that runs.

import type { RP2040 } from 'rp2040js';

/** The chip's cycle as the package's own `Simulator` counts it, 125 MHz. */
const NANOS_PER_CYCLE = 8;

/** What the package's clock has and its type does not say. */
interface ChipClock {
  readonly nanosToNextAlarm: number;
  readonly nextAlarm: object | null;
  tick(deltaNanos: number): void;
}

/** A PIO block with what its type keeps private. */
interface PioBlock {
  run(): void;
  step(): void;
  readonly stopped: boolean;
  readonly machines: readonly { readonly waiting: boolean }[];
  readonly pinValues: number;
  readonly oldPinValues: number;
  readonly pinDirections: number;
  readonly oldPinDirections: number;
}

export class ChipRunner {
  readonly #chip: RP2040;
  readonly #clock: ChipClock;
  readonly #pio: readonly PioBlock[];
  #stopAsked = false;
  #isInside = false;

  /** Takes a chip that has not run yet: it no longer runs anything by itself. */
  constructor(chip: RP2040) {
    this.#chip = chip;
    // Safe: a chip made without a clock of its own has the package's.
    this.#clock = chip.clock as unknown as ChipClock;
    this.#pio = chip.pio as unknown as readonly PioBlock[];
    for (const pio of this.#pio) pio.run = () => {};
  }

  /** Time on the chip's clock. */
  get nanos(): number {
    return this.#chip.clock.nanos;
  }

  /** Whether an instruction is under way: a listener is being called in its middle. */
  get isInside(): boolean {
    return this.#isInside;
  }

  /** Ends `run` after the instruction that is under way: for what an instruction sets off. */
  stopSoon(): void {
    this.#stopAsked = true;
  }

  /**
   * Runs for that many cycles, a few more where the last instruction takes them. Returns those that were run: fewer when
   * it was stopped, or when the chip sleeps and nothing but input can wake it.
   */
  run(cycles: number): number {
    this.#stopAsked = false;
    this.#isInside = true;
    try {
      return this.#run(cycles);
    } finally {
      this.#isInside = false;
    }
  }

  #run(cycles: number): number {
    const { core } = this.#chip;
    const clock = this.#clock;
    let done = 0;
    while (done < cycles && !this.#stopAsked) {
      if (!core.waiting) {
        const taken = core.executeInstruction();
        this.#stepPio(taken);
        clock.tick(taken * NANOS_PER_CYCLE);
        done += taken;
      } else if (this.#isPioBusy()) {
        this.#stepPio(1);
        clock.tick(NANOS_PER_CYCLE);
        done++;
      } else if (clock.nextAlarm === null) break;
      else done += this.#sleep(cycles - done);
    }
    return done;
  }

  /** Goes on to the next alarm, at most so far; every alarm is an event, so at least one cycle is counted. */
  #sleep(maxCycles: number): number {
    const clock = this.#clock;
    const cycles = Math.max(1, Math.min(Math.ceil(clock.nanosToNextAlarm / NANOS_PER_CYCLE), maxCycles));
    clock.tick(cycles * NANOS_PER_CYCLE);
    return cycles;
  }

  #stepPio(cycles: number): void {
    for (const pio of this.#pio) {
      if (pio.stopped) continue;
      // A block of which every machine waits does nothing until a FIFO, an interrupt or a pin wakes one by itself.
      for (let left = cycles; left > 0 && isBusy(pio); left--) pio.step();
    }
  }

  #isPioBusy(): boolean {
    return this.#pio.some((pio) => !pio.stopped && isBusy(pio));
  }
}

function isBusy(pio: PioBlock): boolean {
  if (pio.pinValues !== pio.oldPinValues || pio.pinDirections !== pio.oldPinDirections) return true;
  for (const { waiting } of pio.machines) if (!waiting) return true;
  return false;
}

// A board with an RP2040, emulated by rp2040js in plain JavaScript, as a guest: its memory as regions, all the rest by its
// objects. The package knows nothing of snapshots; nothing of it is changed but instances.
//
//   const board = openRp2040({ firmware: tallyFirmware() });
//   board.onSerial((bytes) => …);
//   board.start();                       // or board.run(125_000): as many cycles, here and now
//   vitrine.adopt('pico', await openTracker(board.guest));

import { ConsoleLogger, LogLevel, RP2040 } from 'rp2040js';
import { type Clock, SYSTEM_CLOCK } from '../../base/clock.ts';
import { VitrineError } from '../../base/error.ts';
import type { CooperatingGuest } from '../cooperating.ts';
import { answerAtRest, DoorbellDesk } from '../doorbell.ts';
import type { DeviceRecord } from '../guest.ts';
import { type ObjectGraphCooperation, objectGraphGuest } from '../object-graph/object-graph-guest.ts';
import { ChipMemory, type ChipMemoryOptions } from './chip-memory.ts';
import { ChipRunner } from './chip-runner.ts';
import { CHIP_WIRING } from './chip-wiring.ts';
import { DoorbellRegister, RP2040_DOORBELL_ADDRESS } from './doorbell-register.ts';
import { Pace } from './pace.ts';

/** The package that device state belongs to. */
export const RP2040JS_VERSION = '1.4.1';

const FLASH_ADDRESS = 0x1000_0000;

export interface Rp2040Config extends ChipMemoryOptions {
  /** The program, for the start of flash. */
  readonly firmware: Uint8Array;
  /**
   * The chip's boot ROM, 4,096 words, for firmware that calls it: what the Pico's SDK makes. The chip then starts in the
   * firmware's second boot stage; without one, at the firmware's vector table.
   */
  readonly bootrom?: Uint32Array;
  /** `barrier` knows what is written and lets a save run beside it; `barrier` when left out. */
  readonly tracking?: 'none' | 'marks' | 'barrier';
  /** Paces the chip; the platform's when left out. */
  readonly clock?: Clock;
}

/**
 * Makes a board; it is ready and not started.
 *
 * Throws `argument-invalid` for firmware that does not fit, `unsupported` when shared memory is asked for and there is none.
 */
export function openRp2040(config: Rp2040Config): Rp2040Board {
  return new Rp2040Board(config);
}

export class Rp2040Board {
  /** The emulator's own object: pins, devices, listeners. Its arrays of memory are not to be replaced. */
  readonly chip: RP2040;
  readonly guest: CooperatingGuest;
  readonly #runner: ChipRunner;
  readonly #pace: Pace;
  readonly #cooperation: ObjectGraphCooperation;
  readonly #doorbell: DoorbellDesk;
  readonly #serialListeners = new Set<(bytes: Uint8Array) => void>();
  /** Whether its user wants it to run by itself. */
  #started = false;
  /** The emulator threw: it is in the middle of an instruction for good. */
  #failure: VitrineError | undefined;

  constructor(config: Rp2040Config) {
    const { firmware, bootrom } = config;
    this.chip = new RP2040();
    // The package's own one tells every access it does not model, and throws in the middle of an instruction.
    this.chip.logger = new ConsoleLogger(LogLevel.Error, false);
    const memory = new ChipMemory(this.chip, config);
    if (firmware.length > memory.flash.length) {
      throw new VitrineError('argument-invalid', {
        name: 'firmware',
        lengthBytes: firmware.length,
        flashBytes: memory.flash.length,
      });
    }
    this.#runner = new ChipRunner(this.chip);
    const { clock = SYSTEM_CLOCK } = config;
    this.#pace = new Pace({ run: (cycles) => this.#turn(cycles), clock });
    const place = `register 0x${RP2040_DOORBELL_ADDRESS.toString(16)}`;
    this.#doorbell = new DoorbellDesk(place, 'the instruction', clock);
    new DoorbellRegister(this.#doorbell, () => this.#runner.stopSoon()).placeIn(this.chip);
    this.#cooperation = objectGraphGuest({
      root: this.chip,
      machine: {
        kind: 'rp2040',
        version: RP2040JS_VERSION,
        architecture: 'armv6-m',
        config: { flashBytes: memory.flash.length },
      },
      regions: memory.regions,
      wiring: CHIP_WIRING,
      tracking: config.tracking ?? 'barrier',
      doorbell: this.#doorbell,
      pauseNow: () => this.#rest(),
      resume: () => this.#follow(),
      advance: (cycles) => this.#execute(cycles),
      onClose: () => this.#pace.stop(),
    });
    this.guest = this.#cooperation.guest;
    memory.listen(this.#cooperation.listenerOf);
    this.chip.uart[0]!.onByte = (byte) => {
      for (const listener of this.#serialListeners) listener(Uint8Array.of(byte));
    };
    if (bootrom !== undefined) this.chip.loadBootrom(bootrom);
    memory.flash.set(firmware);
    this.#begin(bootrom === undefined);
  }

  /** Nanoseconds on the chip's clock. */
  get nanos(): number {
    return this.#runner.nanos;
  }

  /** Objects and functions that were found in the emulator. */
  get graphSize(): { readonly objects: number; readonly functions: number } {
    return this.#cooperation.graph.size;
  }

  /** Lets it run by itself, no faster than real time, for as long as the guest does not rest. */
  start(): void {
    this.#started = true;
    this.#follow();
  }

  /** It no longer runs by itself. */
  stop(): void {
    this.#started = false;
    this.#pace.stop();
  }

  /**
   * Runs here and now, as fast as it can: that many cycles, of 8 ns on its clock. Returns those that were run: fewer when it
   * sleeps and only input can wake it, or when it rang and rests until it is answered. Equal states do equal things.
   *
   * Throws `wrong-state` while the guest rests, `guest-closed`; `guest-failed` when the emulator throws, and ever after.
   */
  run(cycles: number): number {
    this.guest.requireRunning();
    return this.#drive(cycles);
  }

  /** One instruction, or up to one alarm where the chip sleeps. Returns its cycles. Throws as `run`. */
  step(): number {
    this.guest.requireRunning();
    return this.#drive(1);
  }

  /** What the chip sends on UART0. Returns how to stop listening. */
  onSerial(listener: (bytes: Uint8Array) => void): () => void {
    this.#serialListeners.add(listener);
    return () => void this.#serialListeners.delete(listener);
  }

  /**
   * Bytes for UART0. The chip holds 32 that it has not read yet and loses what comes after, as a chip does; returns how many
   * it took.
   *
   * Throws `wrong-state` while the guest rests, `guest-closed`.
   */
  sendSerial(bytes: Uint8Array): number {
    this.guest.requireRunning();
    const uart = this.chip.uart[0]! as unknown as { readonly rxFIFO: { readonly full: boolean } };
    let taken = 0;
    for (; taken < bytes.length && !uart.rxFIFO.full; taken++) this.chip.uart[0]!.feedByte(bytes[taken]!);
    return taken;
  }

  /** The first place in which two lists of device records differ: for `verifyRoundTrip`. */
  nameDifference(a: readonly DeviceRecord[], b: readonly DeviceRecord[]): string | undefined {
    return this.#cooperation.nameDifference(a, b);
  }

  /** Runs, and has each ring answered behind the instruction that rang. */
  #drive(cycles: number): number {
    let done = 0;
    for (;;) {
      done += this.#execute(cycles - done);
      if (!this.#doorbell.isRung) return done;
      answerAtRest(this.guest, this.#doorbell);
      if (done >= cycles || this.guest.rests) return done;
    }
  }

  #execute(cycles: number): number {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return this.#runner.run(cycles);
    } catch (cause) {
      this.#failure = new VitrineError('guest-failed', { guest: 'rp2040' }, { cause });
      this.#pace.stop();
      throw this.#failure;
    }
  }

  /** A turn beside other work: whoever pauses or runs the guest next hears of a failure. */
  #turn(cycles: number): number {
    try {
      return this.#drive(cycles);
    } catch (error) {
      if (error === this.#failure) return 0;
      throw error;
    }
  }

  #rest(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#runner.isInside) throw new VitrineError('guest-not-quiescent', { inside: 'an instruction' });
    this.#pace.stop();
  }

  #follow(): void {
    if (this.#started && !this.guest.rests && this.#failure === undefined) this.#pace.start();
  }

  /** Registers as the chip has them when it starts. Flash stays: the package's `reset` would erase it. */
  #begin(atVectors: boolean): void {
    const { core } = this.chip;
    if (atVectors) core.VTOR = FLASH_ADDRESS;
    core.reset();
    if (!atVectors) core.PC = FLASH_ADDRESS;
  }
}

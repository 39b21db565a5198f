// The doorbell of an RP2040: a register at an address where the chip has nothing. The instant of a ring is the one right
// behind the store that rang.
//
// What it holds is private, so that the walk over the chip's objects does not see it: the answer is no state of the chip.

import type { RP2040 } from 'rp2040js';
import type { DoorbellDesk } from '../doorbell.ts';

/** Behind the last peripheral of the APB; a word is written and read there. */
export const RP2040_DOORBELL_ADDRESS = 0x4007_0000;

export class DoorbellRegister {
  readonly #desk: DoorbellDesk;
  readonly #stopSoon: () => void;

  /** `stopSoon` ends the run behind the instruction that is under way. */
  constructor(desk: DoorbellDesk, stopSoon: () => void) {
    this.#desk = desk;
    this.#stopSoon = stopSoon;
  }

  /** Puts it into a chip that has not run yet. */
  placeIn(chip: RP2040): void {
    // The package finds a device by the address in steps of 16 KiB.
    chip.peripherals[RP2040_DOORBELL_ADDRESS / 4096] = this;
  }

  readUint32(): number {
    return this.#desk.word;
  }

  writeUint32(_offset: number, word: number): void {
    if (this.#desk.ring(word)) this.#stopSoon();
  }

  /** The aliases that set, clear and flip bits elsewhere ring here as well. */
  writeUint32Atomic(offset: number, word: number): void {
    this.writeUint32(offset, word);
  }
}

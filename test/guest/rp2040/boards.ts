// Boards with Tally for tests: small flash, words by address, text over the serial line. They are driven by cycles alone.

import {
  openRp2040,
  type Rp2040Board,
  type Rp2040Config,
  tallyFirmware,
} from '../../../src/guest/rp2040/index.ts';

/** Enough for Tally, and quick to compare. */
const FLASH_BYTES = 64 * 1024;
/** Until Tally has prompted. */
const START_CYCLES = 20_000;
/** Until any answer has been given: copying a page, turning 16 words over. */
const ANSWER_CYCLES = 400_000;

export interface TallyBoard {
  readonly board: Rp2040Board;
  /** What it said since it was asked last. */
  heard(): string;
  /** Types a line and lets it answer; what it said. */
  ask(line: string): string;
  word(address: number): number;
}

export function openTally(config: Partial<Rp2040Config> = {}): TallyBoard {
  const board = openRp2040({
    firmware: tallyFirmware(),
    flashBytes: FLASH_BYTES,
    memory: 'private',
    ...config,
  });
  let said = '';
  board.onSerial((bytes) => {
    said += String.fromCharCode(...bytes);
  });
  const heard = () => {
    const text = said;
    said = '';
    return text;
  };
  board.run(START_CYCLES);
  return {
    board,
    heard,
    ask(line) {
      heard();
      board.sendSerial(new TextEncoder().encode(`${line}\r`));
      board.run(ANSWER_CYCLES);
      return heard();
    },
    word: (address) => board.chip.readUint32(address),
  };
}

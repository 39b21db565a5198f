// Tally as bytes for flash, and where what it knows lies. The source is tally.c; README.md of the folder above lists what
// it does.

import type { OwnedBytes } from '../../../base/bytes.ts';
import { TALLY_CODE_BASE64 } from './tally-code.ts';

/** Guest addresses of what Tally knows: little-endian words unless said otherwise. */
export const TALLY = {
  /** `TLLY` once it is up. */
  magic: 0x2000_0000,
  /** Timer interrupts, 100 a second of the chip's time. */
  ticks: 0x2000_0004,
  seconds: 0x2000_0008,
  /** The last random word (xorshift32 from 0x2545f491). */
  random: 0x2000_000c,
  pagesWritten: 0x2000_0010,
  nextPage: 0x2000_0014,
  /** 1 while it writes memory hard. */
  writing: 0x2000_0018,
  /** Pages that were not as they had been left. */
  faults: 0x2000_001c,
  dmaDone: 0x2000_0020,
  pioWords: 0x2000_0024,
  keys: 0x2000_0028,
  lineLength: 0x2000_002c,
  /** What the doorbell answered last. */
  answer: 0x2000_0034,
  /** The typed line, 32 bytes. */
  line: 0x2000_0040,
  /** A word a page. */
  sums: 0x2000_0060,
  /** The working set: 32 pages of 4 KiB. */
  pages: 0x2001_0000,
} as const;

export const TALLY_MAGIC = 0x594c_4c54;

/** The program, for the start of flash. */
export function tallyFirmware(): OwnedBytes {
  return Uint8Array.from(atob(TALLY_CODE_BASE64), (character) => character.charCodeAt(0));
}

// Pulse, the PC program that ships with the package: its ROM and the addresses at which its state can be peeked.
// README.md says what it does; pulse.S is its source.

import type { OwnedBytes } from '../../base/bytes.ts';
import { KIB, MIB } from '../../base/limits.ts';
import { PULSE_CODE_BASE64 } from './pulse-code.ts';

/** Guest physical addresses of Pulse's state: little-endian 32-bit words unless said otherwise. */
export const PULSE = {
  /** "PULS" (0x534c5550) once it is up. */
  magic: 0x1000,
  version: 0x1004,
  /** Timer interrupts, 100 a second. */
  ticks: 0x1008,
  seconds: 0x100c,
  /** Pages written. */
  loops: 0x1010,
  /** The generator's last value: xorshift32 with 13, 17, 5. */
  random: 0x1014,
  /** The page whose turn is next. */
  page: 0x1018,
  /** Pages written a tick: 1 to 64. */
  speed: 0x101c,
  /** Sum of `sums`, modulo 2^32. */
  checksum: 0x1020,
  /** 0 before the first round, 1 MEMORY OK, 2 MEMORY BAD. */
  health: 0x1024,
  /** Times that every page had its turn. */
  rounds: 0x1028,
  /** Characters received from keyboard and serial line. */
  keys: 0x102c,
  lineLength: 0x1030,
  /** Ticks worked off; equal to `ticks` when it rests. */
  worked: 0x1034,
  /** ASCII, 60 bytes. */
  line: 0x1080,
  /** A byte a page: 7 just written, 0 never. */
  heat: 0x1200,
  /** A word a page. */
  sums: 0x1400,
  /** The working set. */
  work: 0x10_0000,
} as const;

/** Facts of Pulse that its addresses do not tell. */
export const PULSE_FACTS = {
  magic: 0x534c_5550,
  seed: 0x2545_f491,
  pageCount: 256,
  pageBytes: 4 * KIB,
  /** Added to the page number from turn to turn, modulo `pageCount`. */
  stride: 97,
  ticksPerSecond: 100,
  lineBytes: 60,
  romBytes: 64 * KIB,
  memoryBytes: 16 * MIB,
} as const;

/** Pulse's ROM: 64 KiB that a PC maps below 1 MiB and starts from. A new array at each call. */
export function pulseRom(): OwnedBytes {
  const code = atob(PULSE_CODE_BASE64);
  const rom = new Uint8Array(PULSE_FACTS.romBytes).fill(0xff);
  const start = rom.length - code.length;
  for (let i = 0; i < code.length; i++) rom[start + i] = code.charCodeAt(i);
  return rom;
}

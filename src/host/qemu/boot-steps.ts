// The ROM of boot-steps.S: what an operating system of 64 bits asks of a processor on its way up, step by step. The code stands here as
// base64; a test assembles the source again and compares:
//
//   as --64 boot-steps.S -o a.o && ld -m elf_x86_64 -Ttext=0 --entry=0 -o a.elf a.o && objcopy -O binary -j .text a.elf a.bin

import type { OwnedBytes } from '../../base/bytes.ts';
import { KIB } from '../../base/limits.ts';

export const BOOT_STEPS_CODE_BASE64 = [
  '+vwxwI7YjtC8AIBmgw4ACQG+YAG4ACKOwDH/uUAALvOkLmYPARagAQ8gwGYl8///n2aDyAEPIsBm6kAADwAIALgQAAAAjtiOwI7Q',
  'vACQAACDDQAJAAACMcC/AAABALkADAAA86vHBQAAAQAHEAEAxwUAEAEAByABAMcFACABAIcAAADHBQggAQCHACAAuCAGAAAPIuC4',
  'AAABAA8i2LmAAADADzINAAEAAA8wgw0ACQAABA8gwA0CAAGADyLA6sQADwAYAIMMJQAJAAAIuBAAAACO0LwAkAAAMcC/AAACALkA',
  'CAAA86u/AAgCAGbHB0gBZsdHAhgAZsdHBADuZsdHBg8ADwEcJaYBDwDHBCUEEAIAAJAAALgwAAAADwDYaiNoAKAAAGoCaitoLwEP',
  'AEjPgwwlAAkAABC4dwAAAGYPbsBmD37DzYDr+IP7d3UPgwwlAAkAACD/BCUECQAASM9mkAAAAAAAAAAA//8AAACbzwD//wAAAJPP',
  'AP//AAAAm68A//8AAADzzwD//wAAAPuvAGcAABACiQAAAAAAAAAAAAA/AAAgAgD/DwAAAgAAAAAA',
].join('');

/** Words in its memory: a bit for each step done, and how often it came back to user mode at the end. */
export const BOOT_STEPS = { steps: 0x900, rounds: 0x904 } as const;

/** What the bits stand for, from the lowest. */
export const BOOT_STEP_NAMES = [
  'real mode',
  'protected mode',
  'the registers of long mode',
  'paging and long mode',
  'user mode',
  'the kernel from user mode, and back',
] as const;

const ROM_BYTES = 64 * KIB;

/** As a BIOS image of 64 KiB. A new array at each call. */
export function bootStepsRom(): OwnedBytes {
  const rom = new Uint8Array(ROM_BYTES).fill(0xff);
  const code = atob(BOOT_STEPS_CODE_BASE64);
  for (let i = 0; i < code.length; i++) rom[i] = code.charCodeAt(i);
  // Where a processor begins: a far jump to f000:0000.
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  return rom;
}

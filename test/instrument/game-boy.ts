// Boytacean, a Game Boy in Rust, with a cartridge of a few bytes; its module as published, or instrumented.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { MIB } from '../../src/base/limits.ts';
import { type Instrumented, instrument } from '../../src/instrument/index.ts';

const require = createRequire(import.meta.url);
const ROM_BYTES = 32_768;

/** Of the loader, what is used here. */
interface Boytacean {
  initSync(options: { module: Uint8Array }): WebAssembly.Exports;
  readonly GameBoy: new (
    mode?: number,
  ) => {
    load_unsafe(boot: boolean): void;
    load_rom_wa(rom: Uint8Array): object;
    load_boot_state(): void;
    next_frame(): number;
    frame_buffer_eager(): Uint8Array;
  };
}

export interface GameBoy {
  readonly memory: WebAssembly.Memory;
  readonly exports: WebAssembly.Exports;
  /** Undefined for the module as it is published. */
  readonly instrumented: Instrumented | undefined;
  readonly loaded: object;
  /** Runs so many frames; the last picture. */
  frames(count: number): Uint8Array;
}

/** A machine of its own: each has another copy of the loader, which knows one instance only. */
export async function openGameBoy(name: string, how?: 'marks' | 'barriers'): Promise<GameBoy> {
  const file = require.resolve('boytacean');
  const loader: Boytacean = await import(/* @vite-ignore */ `${pathToFileURL(file).href}?${name}`);
  const published = readFileSync(file.replace('boytacean.js', 'boytacean_bg.wasm'));
  const options = { maxMemoryBytes: 64 * MIB };
  const instrumented =
    how === undefined
      ? undefined
      : instrument(published, how === 'marks' ? { ...options, marks: true } : { ...options, barriers: true });
  const exports = loader.initSync({ module: instrumented?.bytes ?? published });
  const machine = new loader.GameBoy(undefined);
  machine.load_unsafe(false);
  // Held: collected, it would be freed inside the program, at any time.
  const loaded = machine.load_rom_wa(cartridge());
  machine.load_boot_state();
  return {
    memory: exports.memory as WebAssembly.Memory,
    exports,
    instrumented,
    loaded,
    frames(count) {
      for (let left = count; left > 0; left--) machine.next_frame();
      return machine.frame_buffer_eager();
    },
  };
}

/**
 * Counts up every byte of work memory, again and again, and shows what it finds there as tiles:
 *
 *   0150  3e e4      ld a, e4      four shades
 *   0152  e0 47      ldh (47), a
 *   0154  3e 91      ld a, 91      the picture on, its background too
 *   0156  e0 40      ldh (40), a
 *   0158  21 00 c0   ld hl, c000
 *   015b  34         inc (hl)
 *   015c  2a         ld a, (hl+)
 *   015d  57         ld d, a
 *   015e  7c         ld a, h
 *   015f  ee 40      xor 40        c000 … dfff → 8000 … 9fff
 *   0161  47         ld b, a
 *   0162  7d         ld a, l
 *   0163  4f         ld c, a
 *   0164  7a         ld a, d
 *   0165  02         ld (bc), a
 *   0166  7c         ld a, h
 *   0167  fe de      cp de
 *   0169  20 f0      jr nz, 015b
 *   016b  18 eb      jr 0158
 */
export function cartridge(): Uint8Array {
  const rom = new Uint8Array(ROM_BYTES);
  rom.set([0xc3, 0x50, 0x01], 0x100);
  rom.set(
    [
      0x3e, 0xe4, 0xe0, 0x47, 0x3e, 0x91, 0xe0, 0x40, 0x21, 0x00, 0xc0, 0x34, 0x2a, 0x57, 0x7c, 0xee, 0x40,
      0x47, 0x7d, 0x4f, 0x7a, 0x02, 0x7c, 0xfe, 0xde, 0x20, 0xf0, 0x18, 0xeb,
    ],
    0x150,
  );
  let checksum = 0;
  for (let at = 0x134; at < 0x14d; at++) checksum = (checksum - rom[at]! - 1) & 0xff;
  rom[0x14d] = checksum;
  return rom;
}

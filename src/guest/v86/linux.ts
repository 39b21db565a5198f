// A Linux machine: kernel and initial RAM disk go into memory, the BIOS starts them, no disk is needed.
// `npm run guests` builds the images from Debian's packages.

import { MIB } from '../../base/limits.ts';
import type { ImageSource, V86Config } from './open-v86.ts';

export interface LinuxImages {
  /** SeaBIOS. */
  readonly bios: ImageSource;
  readonly vgaBios: ImageSource;
  /** A 32-bit kernel without PAE. */
  readonly kernel: ImageSource;
  readonly initrd: ImageSource;
}

/** Enough for the initial RAM disk, which v86 puts at 64 MiB, and room to work. */
const MEMORY_BYTES = 128 * MIB;

/**
 * `quiet` saves a second of boot; a shell is on the serial line and one on the screen. With `init_on_alloc`, Debian's default,
 * the kernel would fill every page with zeros that it tells the balloon about: 36 ms for each 4 MiB.
 */
const COMMAND_LINE =
  'console=tty0 console=ttyS0,115200 quiet tsc=reliable mitigations=off random.trust_cpu=on nomodeset init_on_alloc=0';

/** A PC that boots Linux to a shell on its first serial port. `wasm` says where v86's program is. */
export function linuxConfig(
  wasm: V86Config['wasm'],
  images: LinuxImages,
  change: Partial<V86Config> = {},
): V86Config {
  return {
    wasm,
    memoryBytes: MEMORY_BYTES,
    vgaMemoryBytes: 8 * MIB,
    balloon: true,
    bios: images.bios,
    vgaBios: images.vgaBios,
    kernel: { image: images.kernel, initrd: images.initrd, commandLine: COMMAND_LINE },
    ...change,
  };
}

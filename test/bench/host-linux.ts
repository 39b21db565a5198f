// Linux in a QEMU machine of ours, for the rows about hosts, and which QEMU they are measured with.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import type { SerialLine } from '../../src/host/qemu/serial-line.ts';
import { findQemus } from '../setup/qemu.mjs';

const IMAGES = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '.guests');
const MIB = 2 ** 20;
const BOOT_MS = 240_000;

/** The newest QEMU that is here; undefined where there is none. */
export function newestQemu(): { readonly version: string; readonly program: string } | undefined {
  return findQemus().at(-1);
}

export function linuxProfile(program: string, memoryMiB: number): QemuProfile {
  return {
    program,
    memoryBytes: memoryMiB * MIB,
    kernel: join(IMAGES, 'vmlinuz'),
    initrd: join(IMAGES, 'initrd'),
    append: 'console=ttyS0,115200 quiet mitigations=off random.trust_cpu=on nomodeset',
  };
}

/** The shell behind a serial line. */
export class HostShell {
  readonly #serial: SerialLine;
  #output = '';
  #commands = 0;

  constructor(serial: SerialLine) {
    this.#serial = serial;
    serial.onOutput((bytes) => {
      this.#output += Buffer.from(bytes).toString('latin1');
    });
  }

  /** Resolves when the shell of a machine that boots is there. */
  async up(): Promise<void> {
    await this.#until(() => this.#output.includes('# '));
    await this.run('stty -echo; PS1=');
  }

  /** Runs a command to its end. */
  async run(command: string): Promise<void> {
    const from = this.#output.length;
    const end = `end-of-${this.#commands++}`;
    this.#serial.write(`${command}; echo ${end.slice(0, 3)}""${end.slice(3)}\n`);
    await this.#until(() => this.#output.includes(`${end}\r\n`, from));
  }

  async #until(condition: () => boolean): Promise<void> {
    const deadline = performance.now() + BOOT_MS;
    while (!condition()) {
      if (performance.now() > deadline) throw new Error('waited in vain for the shell of a QEMU machine');
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
}

/** What fills its memory: random files, and copies of them. */
export const FILL =
  'dd if=/dev/urandom of=/tmp/a bs=1M count=48 2>/dev/null; cp /tmp/a /tmp/b; cp /tmp/a /tmp/c; sync';

/** Writes one part in a hundred of 512 MiB anew. */
export const WORK = 'dd if=/dev/urandom of=/tmp/a bs=4k count=1310 conv=notrunc 2>/dev/null';

// Debian's Linux in a real QEMU, with a shell on its serial line. The images come from `npm run guests`.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import type { SerialLine } from '../../src/host/qemu/serial-line.ts';

const IMAGES = new URL('../../.guests/', import.meta.url);
export const LINUX_TIMEOUT_MS = 240_000;

/**
 * A PC that boots it; 128 MiB are enough. On a busy host its timer comes late, which a kernel that checks it takes for a broken PC
 * (`no_timer_check`).
 */
export function linuxProfile(program: string, more: QemuProfile = {}): QemuProfile {
  return {
    program,
    memoryBytes: 128 * MIB,
    kernel: image('vmlinuz'),
    initrd: image('initrd'),
    append: 'console=ttyS0 quiet mitigations=off random.trust_cpu=on init_on_alloc=0 no_timer_check',
    ...more,
  };
}

/** The path of one of the images. */
export function image(name: string): string {
  const path = fileURLToPath(new URL(name, IMAGES));
  if (!existsSync(path)) throw new Error('the Linux guest is missing: run `npm run guests`');
  return path;
}

/** What is typed into the shell and what it answers. */
export class Shell {
  readonly #serial: SerialLine;
  #output = '';
  #commands = 0;

  constructor(serial: SerialLine) {
    this.#serial = serial;
    serial.onOutput((bytes) => {
      this.#output += Buffer.from(bytes).toString('latin1');
    });
  }

  /** All that came since the last `forget`. */
  get output(): string {
    return this.#output;
  }

  /** What came so far is of a time that was taken back. */
  forget(): void {
    this.#output = '';
  }

  /** Waits for the shell of a machine that boots. */
  async untilUp(): Promise<void> {
    await this.until(/is up/);
    await this.run('true');
  }

  /** Runs a command; returns what it printed. */
  async run(command: string): Promise<string> {
    const from = this.#output.length;
    const mark = `mark${++this.#commands}`;
    // The echo of the command line does not hold the marks in one piece.
    const split = `${mark.slice(0, 2)}''${mark.slice(2)}`;
    this.#serial.write(`echo ${split}a; ${command}; echo ${split}b\n`);
    const answer = new RegExp(`${mark}a\\r\\n([^]*?)${mark}b\\r\\n`);
    await this.until(answer, from);
    return answer.exec(this.#output.slice(from))![1]!.replaceAll('\r\n', '\n').trimEnd();
  }

  async until(pattern: RegExp, from = 0): Promise<void> {
    // `expect.poll` waits in tests alone; machines also start in hooks.
    const seen = () => pattern.test(this.#output.slice(from));
    await vi.waitUntil(seen, { timeout: LINUX_TIMEOUT_MS, interval: 20 }).catch(() => {
      throw new Error(`${pattern} did not come after ${JSON.stringify(this.#output.slice(-300))}`);
    });
  }
}

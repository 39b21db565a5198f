// A Linux guest and its shell on the serial line.

import { readFileSync } from 'node:fs';
import { linuxConfig, openV86, type V86Config, type V86Guest } from '../../src/guest/v86/index.ts';
import { programFor, until } from '../guest/v86/machines.ts';

const IMAGES = new URL('../../.guests/', import.meta.url);

function image(name: string): { readonly bytes: Buffer } {
  try {
    return { bytes: readFileSync(new URL(name, IMAGES)) };
  } catch (cause) {
    throw new Error(`${name} of the Linux guest is missing: run \`npm run guests\``, { cause });
  }
}

/** The machine, not started. Its images are built by `npm run guests`. */
export async function openLinux(change: Partial<V86Config> = {}): Promise<V86Guest> {
  return openV86(linuxConfig(await programFor(change), imagesOf(), change));
}

/** One with an empty disk in memory, `/dev/sda` after `load-disk`. */
export async function openLinuxWithDisk(diskBytes: number): Promise<V86Guest> {
  const { kernel } = linuxConfig(await programFor({}), imagesOf());
  const initrd = { bytes: Buffer.concat([image('initrd').bytes, image('disk-drivers').bytes]) };
  return openLinux({ kernel: { ...kernel!, initrd }, disks: { hda: { bytes: new Uint8Array(diskBytes) } } });
}

function imagesOf() {
  return {
    bios: image('bios'),
    vgaBios: image('vgabios'),
    kernel: image('vmlinuz'),
    initrd: image('initrd'),
  };
}

/** What is typed into the shell and what it answers. */
export class Shell {
  readonly #guest: V86Guest;
  #output = '';
  #commands = 0;

  constructor(guest: V86Guest) {
    this.#guest = guest;
    guest.onSerial((bytes) => {
      this.#output += Buffer.from(bytes).toString('latin1');
    });
  }

  /** Waits for the shell of a started machine that boots. */
  async untilUp(): Promise<void> {
    await this.#until('is up', 0);
    await this.run('true');
  }

  /** Waits until the guest says something, from now on. */
  async hear(text: string): Promise<void> {
    await this.#until(text, this.#output.length);
  }

  /** Runs a command in the started guest; returns what it printed. */
  async run(command: string): Promise<string> {
    const from = this.#output.length;
    const mark = `mark-${++this.#commands}-${Math.floor(performance.now())}`;
    // The echo of the command line does not hold the marks in one piece.
    const [a, b] = [mark.slice(0, 2), mark.slice(2)];
    const line = `echo ${a}''${b}-a; ${command}; echo ${a}''${b}-b\n`;
    this.#guest.sendSerial(Uint8Array.from(Buffer.from(line)));
    await this.#until(`${mark}-b\r\n`, from);
    const answer = this.#output.slice(from);
    const start = answer.indexOf(`${mark}-a\r\n`) + mark.length + 4;
    return answer
      .slice(start, answer.indexOf(`${mark}-b\r\n`))
      .replaceAll('\r\n', '\n')
      .trimEnd();
  }

  async #until(text: string, from: number): Promise<void> {
    await until(
      () => this.#output.includes(text, from),
      `"${text}" after ${this.#output.slice(-300)}`,
      280_000,
    );
  }
}

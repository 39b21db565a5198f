// A shell on a machine's serial line: what is typed into it and what it answers. It runs wherever Node does.

import type { SerialLine } from '../../src/host/qemu/serial-line.ts';

/** Resolves once it is so; rejects where it took too long. */
export type WaitUntil = (isSo: () => boolean) => Promise<unknown>;

export class SerialShell {
  readonly #serial: SerialLine;
  readonly #waitUntil: WaitUntil;
  #output = '';
  #commands = 0;

  constructor(serial: SerialLine, waitUntil: WaitUntil) {
    this.#serial = serial;
    this.#waitUntil = waitUntil;
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
    await this.#waitUntil(() => pattern.test(this.#output.slice(from))).catch(() => {
      throw new Error(`${pattern} did not come after ${JSON.stringify(this.#output.slice(-300))}`);
    });
  }
}

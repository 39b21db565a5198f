// What a machine's owner means to do with it, in a file of its run directory: whoever finds the machine after its owner was
// killed has nothing else to go by. QEMU says that it is paused; not whether somebody paused it, or a save that was cut off.
//
//   | Offset | Size | Field |
//   |   0    |  1   | `r` it shall run when nothing is done with it, `p` it shall rest |
//   |   1    |  1   | `w` its memory or devices are being replaced, `-` they are whole |
//
// One write of two bytes: it happened or not, wherever a process is killed. `w` stands before the first byte is replaced and goes
// before the machine may run, so that a machine that is found without it is whole.

import { closeSync, openSync, readSync, writeSync } from 'node:fs';

export class RunIntent {
  readonly #descriptor: number;
  readonly #bytes = Buffer.alloc(2, 'p-');
  #isOpen = true;

  /** Opens the file; where there is none, the machine rests and is whole. */
  constructor(path: string) {
    this.#descriptor = openSync(path, 'a+', 0o600);
    closeSync(this.#descriptor);
    this.#descriptor = openSync(path, 'r+');
    const count = readSync(this.#descriptor, this.#bytes, 0, 2, 0);
    if (count === 0) writeSync(this.#descriptor, this.#bytes, 0, 2, 0);
  }

  /** Whether it shall run when nothing is done with it. */
  get shallRun(): boolean {
    return this.#bytes.toString('latin1', 0, 1) === 'r';
  }

  /** Whether its memory or devices are half one state and half another. */
  get isBeingReplaced(): boolean {
    return this.#bytes.toString('latin1', 1, 2) === 'w';
  }

  setShallRun(shallRun: boolean): void {
    this.#set(0, shallRun ? 'r' : 'p');
  }

  setBeingReplaced(isBeingReplaced: boolean): void {
    this.#set(1, isBeingReplaced ? 'w' : '-');
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#descriptor);
  }

  #set(at: number, value: string): void {
    if (!this.#isOpen || this.#bytes.toString('latin1', at, at + 1) === value) return;
    this.#bytes.write(value, at, 'latin1');
    writeSync(this.#descriptor, this.#bytes, 0, 2, 0);
  }
}

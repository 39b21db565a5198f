// A machine's RAM as the file that QEMU maps: read and written in place, whole spans or not at all.
//
// QEMU maps the file shared, so what is written here is in the guest's memory at once; under TCG, code translated from old
// bytes is forgotten when device state is loaded, which follows each restore. Node has no mmap and no way to ask for holes
// (SEEK_DATA); a page that was never touched reads as zeros without taking memory, and the kernels find zero pages fast.

import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { VitrineError } from '../../base/error.ts';

export class RamFile {
  readonly #descriptor: number;
  #isOpen = true;

  /** Throws `guest-failed` when the file is not there or has another size. */
  constructor(path: string, sizeBytes: number) {
    try {
      this.#descriptor = openSync(path, 'r+');
    } catch (cause) {
      throw new VitrineError('guest-failed', { file: path }, { cause });
    }
    const found = fstatSync(this.#descriptor).size;
    if (found !== sizeBytes) {
      closeSync(this.#descriptor);
      throw new VitrineError('guest-failed', { file: path, sizeBytes: found, expected: sizeBytes });
    }
  }

  /** Memory that the file takes at the moment, in bytes: what the guest has touched. */
  get usedBytes(): number {
    this.#requireOpen();
    return fstatSync(this.#descriptor).blocks * 512;
  }

  /** Fills `into` from `offsetBytes`. */
  read(offsetBytes: number, into: Uint8Array): void {
    this.#requireOpen();
    for (let done = 0; done < into.length; ) {
      const count = readSync(this.#descriptor, into, done, into.length - done, offsetBytes + done);
      if (count === 0) throw new VitrineError('guest-failed', { reason: 'the RAM file became shorter' });
      done += count;
    }
  }

  /** Writes all of `from` at `offsetBytes`. Throws `memory-exhausted` when the host has no room for it. */
  write(offsetBytes: number, from: Uint8Array): void {
    this.#requireOpen();
    try {
      for (let done = 0; done < from.length; ) {
        done += writeSync(this.#descriptor, from, done, from.length - done, offsetBytes + done);
      }
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOSPC') throw cause;
      throw new VitrineError('memory-exhausted', { bytes: from.length }, { cause });
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#descriptor);
  }

  #requireOpen(): void {
    if (!this.#isOpen) throw new VitrineError('guest-closed');
  }
}

// A machine's RAM as its monitor alone gives it: QEMU writes all of its state to a file, RAM is taken out of that, and pages that are
// to be written are loaded with the next state. It works with any machine that can be saved, and costs all of RAM in each pause.

import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import type { Ram } from './process-ram.ts';
import { RAM_BLOCK } from './profile.ts';
import type { StateTransfer } from './state-transfer.ts';
import type { StreamPage } from './stream/index.ts';

const PAGE_BYTES = 4096;

export class WholeRam implements Ram {
  readonly #transfer: StateTransfer;
  readonly #descriptor: number;
  readonly #sizeBytes: number;
  /** Pages that were written here and not there. */
  readonly #pending = new Set<number>();
  #isOpen = true;

  /** The copy lies in `directory`; it holds nothing before the first `refresh`. */
  constructor(transfer: StateTransfer, directory: string, sizeBytes: number) {
    this.#transfer = transfer;
    this.#sizeBytes = sizeBytes;
    this.#descriptor = openSync(join(directory, 'copy'), 'wx+', 0o600);
    ftruncateSync(this.#descriptor, sizeBytes);
  }

  /** Memory of the copy. */
  get usedBytes(): number {
    this.#requireOpen();
    return fstatSync(this.#descriptor).blocks * 512;
  }

  /** Takes the machine's RAM anew. The machine is at rest. Throws what saving throws. */
  async refresh(): Promise<void> {
    this.#requireOpen();
    ftruncateSync(this.#descriptor, 0);
    ftruncateSync(this.#descriptor, this.#sizeBytes);
    await this.#transfer.saveWhole((offset, content) => {
      if (typeof content === 'number') {
        if (content !== 0) this.#put(offset, new Uint8Array(PAGE_BYTES).fill(content));
      } else {
        this.#put(offset, content);
      }
    });
    this.#pending.clear();
  }

  read(offsetBytes: number, into: Uint8Array): void {
    this.#requireInside(offsetBytes, into.length);
    for (let done = 0; done < into.length; ) {
      done += readSync(this.#descriptor, into, done, into.length - done, offsetBytes + done);
    }
  }

  write(offsetBytes: number, from: Uint8Array): void {
    this.#requireInside(offsetBytes, from.length);
    this.#put(offsetBytes, from);
    const last = Math.floor((offsetBytes + from.length - 1) / PAGE_BYTES);
    for (let page = Math.floor(offsetBytes / PAGE_BYTES); page <= last; page++) this.#pending.add(page);
  }

  /** Whether the machine has yet to be given something. */
  get isPending(): boolean {
    return this.#pending.size > 0;
  }

  /** What the machine has yet to be given, as pages of the `block`th block of a stream. */
  pendingPages(block: number): StreamPage[] {
    return [...this.#pending].map((page) => {
      const bytes = new Uint8Array(PAGE_BYTES);
      this.read(page * PAGE_BYTES, bytes);
      return { block, offset: page * PAGE_BYTES, bytes };
    });
  }

  /** The block that they are pages of. Addresses are compared for shared memory alone. */
  get block(): { readonly name: string; readonly usedBytes: number; readonly gpa: number } {
    return { name: RAM_BLOCK, usedBytes: this.#sizeBytes, gpa: 0 };
  }

  /** The machine has it all. */
  commit(): void {
    this.#pending.clear();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#descriptor);
  }

  #put(offsetBytes: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.#descriptor, bytes, done, bytes.length - done, offsetBytes + done);
    }
  }

  #requireInside(offsetBytes: number, lengthBytes: number): void {
    this.#requireOpen();
    if (offsetBytes < 0 || offsetBytes + lengthBytes > this.#sizeBytes) {
      throw new VitrineError('span-out-of-range', { offsetBytes, lengthBytes, sizeBytes: this.#sizeBytes });
    }
  }

  #requireOpen(): void {
    if (!this.#isOpen) throw new VitrineError('guest-closed');
  }
}

// A file that QEMU appends to and we read: what it says on standard error, what its serial line prints. A file and not a pipe,
// since QEMU outlives whoever started it, and its next owner wants to know what it said meanwhile.
//
// It lies in memory, so its length has a bound: past it, the end is put aside into a second file and the first one starts
// anew. QEMU appends, so that it goes on at the beginning. What it writes between our reading and our cutting is lost: a few
// microseconds' worth, once a mebibyte. While nobody owns the machine nothing is cut.

import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
} from 'node:fs';
import { KIB, MIB } from '../../base/limits.ts';

/** Past this the file is cut. */
const MAX_BYTES = MIB;
/** Of what is cut, the end that stays. */
const KEPT_BYTES = 64 * KIB;
const TRIM_EVERY_MS = 5_000;
/** Beside the file: the end of what was cut. */
const BEFORE = '.before';

export class AppendedFile {
  readonly #path: string;
  readonly #descriptor: number;
  readonly #timer: NodeJS.Timeout;
  /** Bytes that were cut since this was opened. */
  #cutBytes = 0;
  #isOpen = true;

  /** Opens the file; it is made where there is none. */
  constructor(path: string) {
    this.#path = path;
    this.#descriptor = openSync(path, 'a+', 0o600);
    this.#timer = setInterval(() => this.trim(), TRIM_EVERY_MS).unref();
  }

  /** Whoever appends to it gets this. */
  get descriptor(): number {
    return this.#descriptor;
  }

  /** All that was appended, whether it is still there or not; 0 once it is closed. */
  get saidBytes(): number {
    return this.#isOpen ? this.#cutBytes + fstatSync(this.#descriptor).size : 0;
  }

  /** The end of it, at most so many bytes. */
  tail(lengthBytes: number): Buffer {
    if (!this.#isOpen) return Buffer.alloc(0);
    const { size } = fstatSync(this.#descriptor);
    const bytes = this.#read(Math.max(0, size - lengthBytes), Math.min(size, lengthBytes));
    if (bytes.length === lengthBytes) return bytes;
    return Buffer.concat([this.#before(), bytes]).subarray(-lengthBytes);
  }

  /** What was appended since `saidBytes` was that; its end where that was more than is kept. */
  since(saidBytes: number): Buffer {
    const count = this.saidBytes - saidBytes;
    return count <= 0 ? Buffer.alloc(0) : this.tail(Math.min(count, KEPT_BYTES));
  }

  /** Cuts it where it is too long. */
  trim(): void {
    if (!this.#isOpen) return;
    const { size } = fstatSync(this.#descriptor);
    if (size <= MAX_BYTES) return;
    writeFileSync(this.#path + BEFORE, this.tail(KEPT_BYTES), { mode: 0o600 });
    ftruncateSync(this.#descriptor, 0);
    this.#cutBytes += size;
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearInterval(this.#timer);
    closeSync(this.#descriptor);
  }

  #before(): Buffer {
    try {
      return readFileSync(this.#path + BEFORE);
    } catch {
      return Buffer.alloc(0);
    }
  }

  #read(position: number, lengthBytes: number): Buffer {
    const bytes = Buffer.alloc(lengthBytes);
    let done = 0;
    while (done < lengthBytes) {
      const count = readSync(this.#descriptor, bytes, done, lengthBytes - done, position + done);
      if (count === 0) break;
      done += count;
    }
    return bytes.subarray(0, done);
  }
}

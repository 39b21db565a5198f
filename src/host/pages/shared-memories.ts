// Memory that threads share, taken for a while and used again: memory that is new is given out by the kernel page by page, which takes
// as long as to encode what is put there.

import { sharedAlignedBytes } from '../../base/aligned-bytes.ts';
import { VitrineError } from '../../base/error.ts';

export type SharedBytes = Uint8Array<SharedArrayBuffer>;

/** How long memory waits for its next use. */
const IDLE_MS = 30_000;

export class SharedMemories {
  readonly #lengthBytes: number;
  readonly #mostIdle: number;
  readonly #idle: SharedBytes[] = [];
  #dropping: NodeJS.Timeout | undefined;

  /** Of memories of one length; of those that nobody uses it keeps `mostIdle` for a while. */
  constructor(lengthBytes: number, mostIdle: number) {
    this.#lengthBytes = lengthBytes;
    this.#mostIdle = mostIdle;
  }

  /** Memory with anything in it, which begins where a page does. Throws `memory-exhausted`. */
  take(): SharedBytes {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    try {
      return sharedAlignedBytes(this.#lengthBytes);
    } catch (cause) {
      throw new VitrineError('memory-exhausted', { lengthBytes: this.#lengthBytes }, { cause });
    }
  }

  giveBack(memory: SharedBytes): void {
    if (this.#idle.length < this.#mostIdle) this.#idle.push(memory);
    clearTimeout(this.#dropping);
    this.#dropping = setTimeout(() => this.#idle.splice(0), IDLE_MS).unref();
  }
}

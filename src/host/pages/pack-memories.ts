// Memory in which threads put packs together. It is used again: memory that is new is given out by the kernel page by page, which takes
// as long as to encode what is put there.

import { sharedAlignedBytes } from '../../base/aligned-bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { LIMITS } from '../../base/limits.ts';
import type { PackMemory } from '../../engine/page-encoder.ts';

/** As many as a save uses on two cores. */
const MOST_IDLE = 8;

/** How long memory waits for its next use. */
const IDLE_MS = 30_000;

export class PackMemories {
  readonly #idle: PackMemory[] = [];
  #dropping: NodeJS.Timeout | undefined;

  /** Memory with anything in it, which begins where a page does. Throws `memory-exhausted`. */
  take(): PackMemory {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    try {
      return sharedAlignedBytes(LIMITS.packBytes);
    } catch (cause) {
      throw new VitrineError('memory-exhausted', { lengthBytes: LIMITS.packBytes }, { cause });
    }
  }

  giveBack(memory: PackMemory): void {
    if (this.#idle.length < MOST_IDLE) this.#idle.push(memory);
    clearTimeout(this.#dropping);
    this.#dropping = setTimeout(() => this.#idle.splice(0), IDLE_MS).unref();
  }
}

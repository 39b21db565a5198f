// Room for many pages that are given back together: blocks that are used again, since they are filled while a guest rests.

import { MIB } from '../base/limits.ts';

const BLOCK_BYTES = MIB;
/** Blocks kept when all is given back; more than this was an unusual change. */
const KEPT_BLOCKS = 16;

export class BlockPool {
  readonly #blocks: Uint8Array<ArrayBuffer>[] = [];
  #block = 0;
  #at = 0;

  /** So many bytes, at most a block's, not cleared, at a multiple of eight. */
  allocate(lengthBytes: number): Uint8Array<ArrayBuffer> {
    if (this.#at + lengthBytes > BLOCK_BYTES) {
      this.#block++;
      this.#at = 0;
    }
    this.#blocks[this.#block] ??= new Uint8Array(BLOCK_BYTES);
    const bytes = this.#blocks[this.#block]!.subarray(this.#at, this.#at + lengthBytes);
    this.#at += Math.ceil(lengthBytes / 8) * 8;
    return bytes;
  }

  /** All that was allocated is free again. */
  clear(): void {
    this.#blocks.length = Math.min(this.#blocks.length, KEPT_BLOCKS);
    this.#block = 0;
    this.#at = 0;
  }
}

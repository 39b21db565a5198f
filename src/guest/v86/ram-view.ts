// A machine's RAM as bytes. v86's own view is a Proxy, and to ask a WebAssembly memory for its buffer takes as long as to copy a
// page, so one view is kept. Memory that grows leaves it empty, or, where it is shared, as it is: RAM stays in its place.

import type { V86Cpu } from './v86-internals.ts';

export class RamView {
  readonly #memory: { readonly buffer: ArrayBufferLike };
  readonly #at: number;
  readonly #sizeBytes: number;
  #bytes: Uint8Array;

  constructor({ wasm_memory, mem8 }: Pick<V86Cpu, 'wasm_memory' | 'mem8'>) {
    this.#memory = wasm_memory;
    this.#at = mem8.byteOffset;
    this.#sizeBytes = mem8.length;
    this.#bytes = new Uint8Array(wasm_memory.buffer, this.#at, this.#sizeBytes);
  }

  /** All of it, in place. Valid until the memory grows: to be asked for again by each call that uses it. */
  get bytes(): Uint8Array {
    if (this.#bytes.length === 0) {
      this.#bytes = new Uint8Array(this.#memory.buffer, this.#at, this.#sizeBytes);
    }
    return this.#bytes;
  }
}

// Bytes that begin where a page of memory does, which arrays of JavaScript do not: WebAssembly's memory is the only one that does.
// Files that are written past the page cache ask for it.

import type { OwnedBytes } from './bytes.ts';

const WASM_PAGE_BYTES = 65_536;

/** What was made here: nothing else tells where a buffer lies. */
const aligned = new WeakSet<ArrayBufferLike>();

/** Zeros of ours. Throws `RangeError` when there is no memory. */
export function alignedBytes(lengthBytes: number): OwnedBytes {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(lengthBytes / WASM_PAGE_BYTES) });
  aligned.add(memory.buffer);
  // Safe: this memory is not shared, and it never grows, so the buffer stays.
  return new Uint8Array(memory.buffer as ArrayBuffer, 0, lengthBytes);
}

/** As `alignedBytes`, in memory that other threads can see. */
export function sharedAlignedBytes(lengthBytes: number): Uint8Array<SharedArrayBuffer> {
  const pages = Math.ceil(lengthBytes / WASM_PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  aligned.add(memory.buffer);
  // Safe: it was asked for.
  return new Uint8Array(memory.buffer as unknown as SharedArrayBuffer, 0, lengthBytes);
}

/** Whether bytes are known to lie at a multiple of `multipleBytes`, a page at most. */
export function isAligned(bytes: Uint8Array, multipleBytes: number): boolean {
  return aligned.has(bytes.buffer) && bytes.byteOffset % multipleBytes === 0;
}

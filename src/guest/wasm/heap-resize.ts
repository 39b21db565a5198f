// How a program whose shared memory has its full size from the start comes to more memory. The buffer that its loader sees
// never changes: it is longer than the program's memory at any time, and a loader that takes its length for the
// program's size reckons wrongly (Emscripten asserts that more is wanted than that).
//
//   program ──"so many bytes"──▶ emscripten_resize_heap ──▶ ours: `vitrine:grow`, the loader is not asked
//
// A loader that grows the memory by itself, under names that nobody knows, asks for what is missing from that length, which
// says nothing of what the program wants: `MarkedMemory` then gives all there is.

import { WASM_PAGE_BYTES } from './export-internals.ts';
import type { MarkedMemory } from './marked-memory.ts';

/** Emscripten's import, by which a C program asks for a memory of so many bytes; it answers whether it has it now. */
const RESIZE = 'emscripten_resize_heap';

export class HeapResize {
  /** Set when there is an instance: a start function that wants more is refused. */
  memory: MarkedMemory | undefined;

  /** The imports, the one that grows the memory replaced. */
  imports(imports: WebAssembly.Imports): WebAssembly.Imports {
    return Object.fromEntries(
      Object.entries(imports).map(([module, values]) => {
        const hasIt = typeof values[RESIZE] === 'function';
        return [module, hasIt ? { ...values, [RESIZE]: this.#resize } : values];
      }),
    );
  }

  /** Grows to at least so many bytes, in whole pages of 64 KiB; 0 where that is refused. */
  readonly #resize = (bytes: number): number => {
    try {
      this.memory?.growTo(Math.ceil((bytes >>> 0) / WASM_PAGE_BYTES));
    } catch {
      return 0;
    }
    return this.memory === undefined ? 0 : 1;
  };
}

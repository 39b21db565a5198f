// Growing a program's memory from outside. Growth gives the memory a new buffer, and a loader that keeps views on the
// old one must hear of it: Emscripten does so only inside the imports it gave to the program.

import { VitrineError } from '../../base/error.ts';
import { WASM_PAGE_BYTES } from './export-internals.ts';

/** Grows a memory by so many pages of 64 KiB, and brings the loader's views up to date. */
export type GrowMemory = (memory: WebAssembly.Memory, pages: number) => void;

/**
 * The way to grow that fits a program with these imports; `growExactly` is the platform's when left out. Emscripten's own import names are looked for; a build that
 * shortened them needs a way of its own.
 */
export function growMemoryOf(
  imports: WebAssembly.Imports,
  growExactly: GrowMemory = (memory, pages) => void WebAssembly.Memory.prototype.grow.call(memory, pages),
): GrowMemory {
  const resizeHeap = findFunction(imports, 'emscripten_resize_heap');
  if (resizeHeap !== undefined) {
    return (memory, pages) => growThrough(resizeHeap, memory, () => growExactly(memory, pages), pages);
  }
  const notify = findFunction(imports, 'emscripten_notify_memory_growth');
  return (memory, pages) => {
    growExactly(memory, pages);
    notify?.(0);
  };
}

/** Calls `grow` and checks what it did. Throws `memory-exhausted`. */
export function growTo(memory: WebAssembly.Memory, pages: number, grow: GrowMemory): void {
  const present = memory.buffer.byteLength / WASM_PAGE_BYTES;
  if (present >= pages) return;
  let cause: unknown;
  try {
    grow(memory, pages - present);
  } catch (error) {
    cause = error;
  }
  if (memory.buffer.byteLength / WASM_PAGE_BYTES < pages) {
    throw new VitrineError('memory-exhausted', { presentPages: present, wantedPages: pages }, { cause });
  }
}

/**
 * Emscripten grows by a fifth more than asked for, to grow less often. A restored memory has exactly its size, so
 * for this one call the memory's `grow` takes the number from us.
 */
function growThrough(
  resizeHeap: (bytes: number) => unknown,
  memory: WebAssembly.Memory,
  grow: () => void,
  pages: number,
): void {
  const present = Object.getOwnPropertyDescriptor(memory, 'grow');
  Object.defineProperty(memory, 'grow', { value: grow, configurable: true });
  try {
    resizeHeap(memory.buffer.byteLength + pages * WASM_PAGE_BYTES);
  } finally {
    if (present === undefined) Reflect.deleteProperty(memory, 'grow');
    else Object.defineProperty(memory, 'grow', present);
  }
}

function findFunction(
  imports: WebAssembly.Imports,
  name: string,
): ((argument: number) => unknown) | undefined {
  for (const module of Object.values(imports)) {
    const value = module[name];
    // Safe: it is Emscripten's, whose import of this name takes one number.
    if (typeof value === 'function') return value as (argument: number) => unknown;
  }
  return undefined;
}

// The WebAssembly builds behind the Kernels port.
//
// | Address | What |
// |---|---|
// | at | 4 KiB in which digests work (`wasm/scratch.ts`) |
// | at + 4096 | the arena |
//
// One build has one module; an instance is a module over one memory with its own scratch, so that several threads
// can work in one shared memory, each with an instance at an address of its own.

import { assert } from '../base/assert.ts';
import { VitrineError } from '../base/error.ts';
import { Arena } from './arena.ts';
import type { Address, Kernels } from './kernels.ts';

/** Bytes that an instance needs for itself, before the first that its arena hands out. */
export const SCRATCH_BYTES = 4096;

/** An instance in a memory of its own starts here: address 0 is never valid. */
export const FIRST_ADDRESS = 1024;

const WASM_PAGE_BYTES = 65_536;
const MAX_MEMORY_BYTES = 2 ** 32;
/** Below this, asking for less address space is no use. */
const MIN_MAXIMUM_BYTES = 2 ** 28;

/** The kernels of a module, over a memory from `at` on. */
export async function instantiateKernels(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  at: Address,
): Promise<Kernels> {
  assert(at >= FIRST_ADDRESS && at % 16 === 0, 'scratch is aligned and not at 0');
  const instance = await WebAssembly.instantiate(module, { env: { memory, scratch: at } });
  // Safe: wasm/index.ts exports these, and the port names them all.
  const raw = instance.exports as unknown as Omit<Kernels, 'build' | 'arena'> & {
    readonly simd: { readonly value: number };
  };
  return {
    build: raw.simd.value === 1 ? 'simd' : 'plain',
    arena: new Arena(memory, at + SCRATCH_BYTES),
    // Addresses above 2 GiB go in as they are, since WebAssembly takes numbers modulo 2^32; counts come out
    // signed, and only these two can be that large.
    xorBytes: (a, b, out, lengthBytes) => raw.xorBytes(a, b, out, lengthBytes) >>> 0,
    countBits: (bits, bitCount) => raw.countBits(bits, bitCount) >>> 0,
    listBits: raw.listBits,
    comparePages: raw.comparePages,
    zeroPages: raw.zeroPages,
    fillPages: raw.fillPages,
    digestPages: raw.digestPages,
    digestBytes: raw.digestBytes,
    packSparse: raw.packSparse,
    unpackSparse: raw.unpackSparse,
    gatherPages: raw.gatherPages,
    scatterPages: raw.scatterPages,
    orBits: raw.orBits,
    andNotBits: raw.andNotBits,
  };
}

/**
 * A memory that grows to `maxBytes`.
 *
 * Without a `maxBytes` it takes the most that the platform gives address space for: 4 GiB, or a half of it and so
 * on where that is refused (32-bit browsers). Throws `memory-exhausted`.
 */
export function createMemory(options: { readonly shared: boolean; readonly maxBytes?: number | undefined }) {
  const { shared, maxBytes } = options;
  for (let bytes = maxBytes ?? MAX_MEMORY_BYTES; ; bytes /= 2) {
    const maximum = Math.floor(Math.min(bytes, MAX_MEMORY_BYTES) / WASM_PAGE_BYTES);
    try {
      return new WebAssembly.Memory({ initial: 1, maximum, shared });
    } catch (cause) {
      if (maxBytes !== undefined || bytes <= MIN_MAXIMUM_BYTES) {
        throw new VitrineError('memory-exhausted', { maxBytes: bytes, shared }, { cause });
      }
    }
  }
}

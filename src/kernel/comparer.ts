// Whether two arrays of JavaScript hold the same bytes, at the speed of memory. The kernel sees its own memory alone, so both
// go there by pieces that stay in the cache: copying and comparing take a third of what a loop over words takes, and no
// time at all to be compiled when it is called a few times.

import { loadKernels } from './load.ts';

/** True for equal lengths and bytes. The arrays may lie in shared memory. */
export type Comparer = (a: Uint8Array, b: Uint8Array) => boolean;

const PIECE_BYTES = 65_536;
/** The least page a kernel compares. */
const UNIT_BYTES = 256;

/** One for the process: a kernel memory takes gigabytes of address space. Calls are synchronous. */
let opening: Promise<Comparer> | undefined;

/** The comparer. Throws `memory-exhausted`. */
export function openComparer(): Promise<Comparer> {
  opening ??= makeComparer();
  opening.catch(() => {
    // The next call tries again.
    opening = undefined;
  });
  return opening;
}

async function makeComparer(): Promise<Comparer> {
  const kernels = await loadKernels();
  const left = kernels.arena.allocate(PIECE_BYTES, 64);
  const right = kernels.arena.allocate(PIECE_BYTES, 64);
  const bits = kernels.arena.allocate(PIECE_BYTES / UNIT_BYTES / 8, 16);
  return (a, b) => {
    if (a.length !== b.length) return false;
    const ofA = kernels.arena.bytes(left, PIECE_BYTES);
    const ofB = kernels.arena.bytes(right, PIECE_BYTES);
    for (let at = 0; at < a.length; at += PIECE_BYTES) {
      const lengthBytes = Math.min(PIECE_BYTES, a.length - at);
      ofA.set(lengthBytes === a.length ? a : a.subarray(at, at + lengthBytes));
      ofB.set(lengthBytes === b.length ? b : b.subarray(at, at + lengthBytes));
      const units = Math.ceil(lengthBytes / UNIT_BYTES);
      ofA.fill(0, lengthBytes, units * UNIT_BYTES);
      ofB.fill(0, lengthBytes, units * UNIT_BYTES);
      if (kernels.comparePages(left, right, UNIT_BYTES, units, bits) !== 0) return false;
    }
    return true;
  };
}

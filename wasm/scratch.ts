// The bytes a digest works in: no kernel allocates, and no kernel has static data.
//
// Where they start is an import, so that several instances (one a thread) can share one memory.
//
// | Offset | Size | Field |
// |---|---|---|
// | 0 | 2048 | chaining values of up to 64 chunks, reduced in place |
// | 2048 | 1024 | one chaining value for each full subtree left of the present chunk |
// | 3072 | 256 | the message: 16 vectors of four lanes, or 16 words |

@external("env", "scratch")
declare const SCRATCH: usize;

/** Chunks that are digested before their tree is reduced: 64 KiB, the largest page. */
export const BATCH_CHUNKS: u32 = 64;

// @ts-ignore: decorators are valid on functions here
@inline
export function chainings(): usize {
  return SCRATCH;
}

// @ts-ignore: decorators are valid on functions here
@inline
export function subtrees(): usize {
  return SCRATCH + 2048;
}

// @ts-ignore: decorators are valid on functions here
@inline
export function message(): usize {
  return SCRATCH + 3072;
}

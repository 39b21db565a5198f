// Several inputs of one length, `stride` bytes apart, to chaining values that lie one after another.
//
// `counterMask` says how inputs are numbered: input `i` has `(counter + i) & counterMask`, so that one call takes
// the chunks of several pages (mask: chunks of a page - 1), inputs that are all number 0 (mask 0) or a run (-1).
// `out` may be `inputs` when the stride is 64 or more: four inputs are read before their values are written.

import { BLOCK_BYTES, DIGEST_BYTES } from './blake3';
import { hashLanes } from './blake3-lanes';
import { hashOne } from './blake3-one';

export function hashMany(
  inputs: usize,
  stride: u32,
  count: u32,
  blocks: u32,
  counter: u32,
  counterMask: u32,
  flags: u32,
  startFlags: u32,
  endFlags: u32,
  out: usize,
): void {
  if (ASC_FEATURE_SIMD) {
    while (count > 1) {
      const lanes = min<u32>(count, 4);
      hashLanes(inputs, stride, lanes, blocks, counter, counterMask, flags, startFlags, endFlags, out);
      inputs += stride * lanes;
      counter += lanes;
      out += DIGEST_BYTES * lanes;
      count -= lanes;
    }
  }
  for (; count != 0; count--) {
    hashOne(inputs, blocks * BLOCK_BYTES, counter & counterMask, flags, startFlags, endFlags, out);
    inputs += stride;
    counter++;
    out += DIGEST_BYTES;
  }
}

// BLAKE3 of any number of bytes: full subtrees of 64 chunks from the left, joined as binary counting joins them,
// then the rest, which is never empty unless there is nothing at all, since what comes last holds the root.

import { BLOCK_BYTES, CHUNK_BLOCKS, CHUNK_BYTES, CHUNK_END, CHUNK_START, DIGEST_BYTES, PARENT, ROOT } from './blake3';
import { hashMany } from './blake3-many';
import { hashOne } from './blake3-one';
import { BATCH_CHUNKS, chainings, subtrees } from './scratch';

const BATCH_BYTES: u32 = BATCH_CHUNKS * CHUNK_BYTES;

/** See `Kernels.digestBytes`. */
export function digestBytes(bytes: usize, lengthBytes: u32, digest: usize): void {
  let top = subtrees();
  let chunk: u32 = 0;
  for (; lengthBytes > BATCH_BYTES; lengthBytes -= BATCH_BYTES) {
    hashMany(bytes, CHUNK_BYTES, BATCH_CHUNKS, CHUNK_BLOCKS, chunk, -1, 0, CHUNK_START, CHUNK_END, chainings());
    reduce(BATCH_CHUNKS, 0);
    memory.copy(top, chainings(), DIGEST_BYTES);
    bytes += BATCH_BYTES;
    chunk += BATCH_CHUNKS;
    // As many joins as the number of subtrees has trailing zeros; the last one stays where the next is written.
    for (let joins = ctz<u32>(chunk / BATCH_CHUNKS); joins != 0; joins--) {
      top -= DIGEST_BYTES;
      hashOne(top, BLOCK_BYTES, 0, PARENT, 0, 0, top);
    }
    top += DIGEST_BYTES;
  }

  const root: u32 = top == subtrees() ? ROOT : 0;
  const whole = lengthBytes / CHUNK_BYTES;
  const rest = lengthBytes % CHUNK_BYTES;
  const nodes = whole + u32(rest != 0 || whole == 0);
  const end = nodes == 1 ? CHUNK_END | root : CHUNK_END;
  hashMany(bytes, CHUNK_BYTES, whole, CHUNK_BLOCKS, chunk, -1, 0, CHUNK_START, end, chainings());
  if (nodes != whole) {
    const last = chainings() + whole * DIGEST_BYTES;
    hashOne(bytes + whole * CHUNK_BYTES, rest, chunk + whole, 0, CHUNK_START, end, last);
  }
  reduce(nodes, root);

  memory.copy(top, chainings(), DIGEST_BYTES);
  while (top != subtrees()) {
    top -= DIGEST_BYTES;
    hashOne(top, BLOCK_BYTES, 0, top == subtrees() ? PARENT | ROOT : PARENT, 0, 0, top);
  }
  memory.copy(digest, top, DIGEST_BYTES);
}

/** Joins neighbours level by level, an odd one out goes up as it is; `root` marks the very last join. */
function reduce(nodes: u32, root: u32): void {
  while (nodes > 1) {
    const pairs = nodes >> 1;
    hashMany(chainings(), BLOCK_BYTES, pairs, 1, 0, 0, nodes == 2 ? PARENT | root : PARENT, 0, 0, chainings());
    if (nodes & 1) {
      memory.copy(chainings() + pairs * DIGEST_BYTES, chainings() + (nodes - 1) * DIGEST_BYTES, DIGEST_BYTES);
    }
    nodes = pairs + (nodes & 1);
  }
}

// BLAKE3 of pages. A page has a power of two of chunks, so its tree is complete: the trees of several pages that
// lie one after another are reduced level by level together, and all four lanes stay in use.

import { BLOCK_BYTES, CHUNK_BLOCKS, CHUNK_BYTES, CHUNK_END, CHUNK_START, PARENT, ROOT } from './blake3';
import { hashMany } from './blake3-many';
import { BATCH_CHUNKS, chainings } from './scratch';

/** See `Kernels.digestPages`. */
export function digestPages(pages: usize, pageBytes: u32, pageCount: u32, digests: usize): void {
  if (pageBytes <= CHUNK_BYTES) {
    const blocks = pageBytes / BLOCK_BYTES;
    hashMany(pages, pageBytes, pageCount, blocks, 0, 0, 0, CHUNK_START, CHUNK_END | ROOT, digests);
    return;
  }
  const pageChunks = pageBytes / CHUNK_BYTES;
  while (pageCount != 0) {
    const count = min<u32>(pageCount, BATCH_CHUNKS / pageChunks);
    let nodes = count * pageChunks;
    hashMany(pages, CHUNK_BYTES, nodes, CHUNK_BLOCKS, 0, pageChunks - 1, 0, CHUNK_START, CHUNK_END, chainings());
    for (nodes >>= 1; nodes > count; nodes >>= 1) {
      hashMany(chainings(), BLOCK_BYTES, nodes, 1, 0, 0, PARENT, 0, 0, chainings());
    }
    hashMany(chainings(), BLOCK_BYTES, count, 1, 0, 0, PARENT | ROOT, 0, 0, digests);
    pages += pageBytes * count;
    digests += 32 * count;
    pageCount -= count;
  }
}

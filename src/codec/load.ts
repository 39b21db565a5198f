// All codecs. A library is loaded when it is first prepared for.

import type { Codecs } from './codec.ts';
import { LZ4_ID, loadLz4 } from './lz4.ts';
import { RAW, RAW_ID } from './raw.ts';
import { type CodecLoaders, openCodecs } from './registry.ts';
import { loadSparseLz4, loadSparseZstd, SPARSE_LZ4_ID, SPARSE_ZSTD_ID } from './sparse.ts';
import { loadZstd, ZSTD_ID } from './zstd.ts';

const LOADERS: CodecLoaders = new Map([
  [RAW_ID, async () => RAW],
  [LZ4_ID, loadLz4],
  [ZSTD_ID, loadZstd],
  [SPARSE_LZ4_ID, loadSparseLz4],
  [SPARSE_ZSTD_ID, loadSparseZstd],
]);

/** The codecs; those of `fast` are ready, others after `prepare`. Throws `kernel-unavailable`. */
export function loadCodecs(): Promise<Codecs> {
  return openCodecs(LOADERS);
}

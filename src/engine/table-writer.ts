// Writing tables: a base, the pages that got other digests, and out comes a new root. Nodes on the way that changed
// are written, mostly as deltas against the base's node; all others are shared.

import { LIMITS } from '../base/limits.ts';
import { compareDigests, type Digest, isZeroDigest, ZERO_DIGEST } from '../format/digest.ts';
import { entriesAt, isZeros, levelCount, type Table } from '../format/table.ts';
import { pageCountOf } from '../memory/region.ts';
import type { Digester } from './digester.ts';
import type { PackSink } from './pack-sink.ts';
import { entry, type TableReader } from './table-reader.ts';

const DIGEST_BYTES = 32;
const FANOUT = LIMITS.tableFanout;
/** Nodes in hand at a time. */
const NODE_BATCH = 256;

/** Pages and the digests they have now: `digests` holds 32 bytes for each of `pages`, which ascend. */
export interface ChangedPages {
  readonly pages: readonly number[];
  readonly digests: Uint8Array;
}

/** The table that `base` becomes; its nodes go to `sink`. Throws what reading the base's nodes throws. */
export async function writeTable(
  base: Table,
  changed: ChangedPages,
  reader: TableReader,
  sink: PackSink,
  digester: Digester,
): Promise<Table> {
  const pageCount = pageCountOf(base);
  let level: ChangedPages = changed;
  for (let height = 0; height < levelCount(pageCount); height++) {
    if (level.pages.length === 0) return base;
    level = await writeLevel(base, height, level, reader, sink, digester);
  }
  return level.pages.length === 0 ? base : { ...base, root: level.digests.slice(0, DIGEST_BYTES) as Digest };
}

/** Rewrites the nodes of one level that hold changed entries; answers with the entries of the level above. */
async function writeLevel(
  base: Table,
  height: number,
  changed: ChangedPages,
  reader: TableReader,
  sink: PackSink,
  digester: Digester,
): Promise<ChangedPages> {
  const pageCount = pageCountOf(base);
  const groups = groupByNode(changed.pages);
  const above: number[] = [];
  const digests: Digest[] = [];
  for (let first = 0; first < groups.length; first += NODE_BATCH) {
    const batch = groups.slice(first, first + NODE_BATCH);
    const before = await reader.nodes(
      base,
      height,
      batch.map((group) => group.node),
    );
    for (const { node, from, to } of batch) {
      const old = before.get(node);
      const content = new Uint8Array(entriesAt(pageCount, height, node) * DIGEST_BYTES);
      if (old !== undefined) content.set(old.bytes);
      let isChanged = false;
      for (let i = from; i < to; i++) {
        const at = (changed.pages[i]! % FANOUT) * DIGEST_BYTES;
        isChanged ||= compareDigests(content, changed.digests, at, i * DIGEST_BYTES) !== 0;
        content.set(entry(changed.digests, i), at);
      }
      if (!isChanged) continue;
      above.push(node);
      if (isZeros(content)) {
        digests.push(ZERO_DIGEST);
        continue;
      }
      const digest = digester.digest(content);
      digests.push(digest);
      reader.keep(digest, content);
      const base = old === undefined ? {} : { base: old };
      const writing = sink.add({ digest, kind: 'node', bytes: content, ...base });
      if (writing !== undefined) await writing;
    }
  }
  const packed = new Uint8Array(digests.length * DIGEST_BYTES);
  for (const [index, digest] of digests.entries()) packed.set(digest, index * DIGEST_BYTES);
  return { pages: above, digests: packed };
}

/** Runs of pages under one node each: indices `from` to `to` of the list. */
function groupByNode(pages: readonly number[]): { node: number; from: number; to: number }[] {
  const groups: { node: number; from: number; to: number }[] = [];
  for (const [index, page] of pages.entries()) {
    const node = Math.floor(page / FANOUT);
    const last = groups.at(-1);
    if (last?.node === node) last.to = index + 1;
    else groups.push({ node, from: index, to: index + 1 });
  }
  return groups;
}

/** A table of zeros. */
export function emptyTable(sizeBytes: number, pageBytes: number): Table {
  return { sizeBytes, pageBytes, root: ZERO_DIGEST };
}

/** Whether a table names nothing. */
export function isEmptyTable(table: Table): boolean {
  return isZeroDigest(table.root);
}

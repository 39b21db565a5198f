// The shape of a table: a tree of nodes, 512 digests each, that names the pages of one region or device record.
// Pure arithmetic: it follows from the page count alone, so no node says where it belongs.
//
//   level 1              node 0            entries name nodes of level 0
//                     ┌────┴────┐
//   level 0         node 0    node 1       entries name pages
//
// Level 0 names pages; the root is the one node of the highest level. A table always has at least one level,
// unless it has no pages. Divisions are of doubles: page counts reach 2^40, past what bit operations hold.

import { assert } from '../base/assert.ts';
import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { DIGEST_BYTES, type Digest, isZeroDigest } from './digest.ts';

/** What names all pages of a region or device record. An all-zero root: every page is zeros. */
export interface Table {
  readonly sizeBytes: number;
  readonly pageBytes: number;
  readonly root: Digest;
}

const FANOUT = LIMITS.tableFanout;

/** Bytes of a node with all its entries. */
export const NODE_BYTES = FANOUT * DIGEST_BYTES;

/** Pages of a table, the last one perhaps padded with zeros. */
export function tablePageCount(table: Pick<Table, 'sizeBytes' | 'pageBytes'>): number {
  return Math.ceil(table.sizeBytes / table.pageBytes);
}

/** Levels of a table with that many pages: 1 up to 512 pages, 2 up to 262,144; none for no pages. */
export function levelCount(pageCount: number): number {
  if (pageCount === 0) return 0;
  let levels = 1;
  for (let reach = FANOUT; reach < pageCount; reach *= FANOUT) levels++;
  return levels;
}

/** Pages below one entry of a node of that level. */
export function pagesPerEntry(level: number): number {
  return FANOUT ** level;
}

/** Nodes of one level. */
export function nodeCountAt(pageCount: number, level: number): number {
  return Math.ceil(pageCount / pagesPerEntry(level + 1));
}

/** Entries of one node: 512, fewer in the last node of its level. */
export function entriesAt(pageCount: number, level: number, nodeIndex: number): number {
  assert(nodeIndex >= 0 && nodeIndex < nodeCountAt(pageCount, level), 'a node lies in its level');
  const children = Math.ceil(pageCount / pagesPerEntry(level));
  return Math.min(FANOUT, children - nodeIndex * FANOUT);
}

/** Which node of a level leads to a page. */
export function nodeIndexOf(page: number, level: number): number {
  return Math.floor(page / pagesPerEntry(level + 1));
}

/** Which entry of that node leads to the page. */
export function slotOf(page: number, level: number): number {
  return Math.floor(page / pagesPerEntry(level)) % FANOUT;
}

/**
 * Checks that bytes can be the content of a node with that many entries.
 *
 * Throws `format-truncated` or `format-range` when the length is another, and `format-range` for a node of zeros
 * alone, which its parent names by the zero digest instead.
 */
export function checkNode(bytes: Uint8Array, expectedEntries: number): void {
  const lengthBytes = expectedEntries * DIGEST_BYTES;
  if (bytes.length !== lengthBytes) {
    const code = bytes.length < lengthBytes ? 'format-truncated' : 'format-range';
    throw new VitrineError(code, { record: 'node', lengthBytes: bytes.length, expectedBytes: lengthBytes });
  }
  if (isZeros(bytes)) {
    throw new VitrineError('format-range', { record: 'node', field: 'content', value: 'zeros' });
  }
}

/** Whether all bytes are zero. */
export function isZeros(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** The digest in one entry of a node, as a copy. */
export function entryAt(node: OwnedBytes, slot: number): Digest {
  return node.slice(slot * DIGEST_BYTES, (slot + 1) * DIGEST_BYTES);
}

/** Whether an entry stands for zeros. */
export function isZeroEntry(node: Uint8Array, slot: number): boolean {
  return isZeroDigest(node, slot * DIGEST_BYTES);
}

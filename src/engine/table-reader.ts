// Walking tables: which digest a page has, and which pages two tables differ in. Only nodes on the way are read.

import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { type Digest, isZeroDigest } from '../format/digest.ts';
import { checkNode, entriesAt, levelCount, type Table } from '../format/table.ts';
import { PageSet } from '../memory/page-set.ts';
import { pageCountOf } from '../memory/region.ts';
import type { Objects } from './objects.ts';

const DIGEST_BYTES = 32;
const FANOUT = LIMITS.tableFanout;
/** Nodes read at a time: 4 MiB of them. */
const NODE_BATCH = 256;

/** A node: what it is named by, and its content, shared with the cache. */
export interface TableNode {
  readonly digest: Digest;
  readonly bytes: OwnedBytes;
}

/** Reads nodes of tables through the object cache. */
export class TableReader {
  readonly #objects: Objects;

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  /** Remembers a node that is being written. */
  keep(digest: Digest, bytes: OwnedBytes): void {
    this.#objects.keepNode(digest, bytes);
  }

  /**
   * The contents of leaf nodes, by leaf index; a missing one stands for zero pages alone.
   *
   * Throws `object-missing`, `object-damaged`, `format-*`.
   */
  async leaves(table: Table, leafIndices: readonly number[]): Promise<Map<number, TableNode>> {
    return this.nodes(table, 0, leafIndices);
  }

  /** The contents of nodes of one level, counted from the leaves, by index in that level. */
  async nodes(table: Table, level: number, indices: readonly number[]): Promise<Map<number, TableNode>> {
    const pageCount = pageCountOf(table);
    const top = levelCount(pageCount) - 1;
    const digests = new Map<number, Digest>();
    if (level === top) {
      if (!isZeroDigest(table.root)) digests.set(0, table.root);
    } else {
      const parents = await this.nodes(table, level + 1, [
        ...new Set(indices.map((index) => Math.floor(index / FANOUT))),
      ]);
      for (const index of indices) {
        const parent = parents.get(Math.floor(index / FANOUT));
        if (parent === undefined) continue;
        const digest = entry(parent.bytes, index % FANOUT);
        if (!isZeroDigest(digest)) digests.set(index, digest);
      }
    }
    return this.#read(digests, pageCount, level);
  }

  /** The digests of pages, 32 bytes each, in the order asked for; all zero for a zero page. */
  async pageDigests(table: Table, pages: Uint32Array | readonly number[]): Promise<Uint8Array> {
    const found = new Uint8Array(pages.length * DIGEST_BYTES);
    const leaves = await this.leaves(table, [
      ...new Set(Array.from(pages, (page) => Math.floor(page / FANOUT))),
    ]);
    for (const [index, page] of pages.entries()) {
      const leaf = leaves.get(Math.floor(page / FANOUT));
      if (leaf !== undefined) found.set(entry(leaf.bytes, page % FANOUT), index * DIGEST_BYTES);
    }
    return found;
  }

  /**
   * The pages in which two tables of one shape differ. Shared nodes are passed over unread, so the cost is
   * proportional to the difference.
   */
  async difference(a: Table, b: Table): Promise<PageSet> {
    if (a.sizeBytes !== b.sizeBytes || a.pageBytes !== b.pageBytes) {
      throw new VitrineError('argument-invalid', { name: 'tables', a: a.sizeBytes, b: b.sizeBytes });
    }
    const pageCount = pageCountOf(a);
    const differing = new PageSet(pageCount);
    let pairs: Pair[] =
      pageCount === 0 || sameEntry(a.root, b.root) ? [] : [{ index: 0, a: a.root, b: b.root }];
    for (let level = levelCount(pageCount) - 1; level >= 0 && pairs.length > 0; level--) {
      const next: Pair[] = [];
      for (let first = 0; first < pairs.length; first += NODE_BATCH) {
        const batch = pairs.slice(first, first + NODE_BATCH);
        const ofA = await this.#read(digestsOf(batch, 'a'), pageCount, level);
        const ofB = await this.#read(digestsOf(batch, 'b'), pageCount, level);
        for (const { index } of batch) {
          const count = entriesAt(pageCount, level, index);
          for (const pair of differingEntries(ofA.get(index)?.bytes, ofB.get(index)?.bytes, count)) {
            next.push({ ...pair, index: index * FANOUT + pair.index });
          }
        }
      }
      pairs = next;
    }
    for (const { index } of pairs) differing.add(index);
    return differing;
  }

  /** Every page that is not zero. */
  async nonZeroPages(table: Table): Promise<PageSet> {
    return this.difference(table, { ...table, root: ZERO });
  }

  /** Visits each node and page digest that a table reaches, once for each digest that `enter` accepts. */
  async visit(table: Table, enter: (digest: Digest) => boolean): Promise<void> {
    const pageCount = pageCountOf(table);
    let digests = new Map<number, Digest>();
    if (pageCount > 0 && !isZeroDigest(table.root) && enter(table.root)) digests.set(0, table.root);
    for (let level = levelCount(pageCount) - 1; level >= 0 && digests.size > 0; level--) {
      const next = new Map<number, Digest>();
      const wanted = [...digests];
      for (let first = 0; first < wanted.length; first += NODE_BATCH) {
        const nodes = await this.#read(new Map(wanted.slice(first, first + NODE_BATCH)), pageCount, level);
        for (const [index, { bytes: node }] of nodes) {
          for (let slot = 0; slot < node.length / DIGEST_BYTES; slot++) {
            const digest = entry(node, slot);
            if (!isZeroDigest(digest) && enter(digest) && level > 0) next.set(index * FANOUT + slot, digest);
          }
        }
      }
      digests = next;
    }
  }

  async #read(
    digests: Map<number, Digest>,
    pageCount: number,
    level: number,
  ): Promise<Map<number, TableNode>> {
    const indices = [...digests.keys()];
    const contents = await this.#objects.readMany([...digests.values()]);
    const nodes = new Map<number, TableNode>();
    for (const [at, index] of indices.entries()) {
      const bytes = contents[at]!;
      checkNode(bytes, entriesAt(pageCount, level, index));
      nodes.set(index, { digest: digests.get(index)!, bytes });
    }
    return nodes;
  }
}

interface Pair {
  readonly index: number;
  readonly a: Digest;
  readonly b: Digest;
}

const ZERO = new Uint8Array(DIGEST_BYTES) as Digest;

function digestsOf(pairs: readonly Pair[], side: 'a' | 'b'): Map<number, Digest> {
  const digests = new Map<number, Digest>();
  for (const pair of pairs) if (!isZeroDigest(pair[side])) digests.set(pair.index, pair[side]);
  return digests;
}

function differingEntries(a: Uint8Array | undefined, b: Uint8Array | undefined, count: number): Pair[] {
  const pairs: Pair[] = [];
  for (let slot = 0; slot < count; slot++) {
    const ofA = a === undefined ? ZERO : entry(a, slot);
    const ofB = b === undefined ? ZERO : entry(b, slot);
    if (!sameEntry(ofA, ofB)) pairs.push({ index: slot, a: ofA, b: ofB });
  }
  return pairs;
}

/** Entry `slot` of a node, in place. */
export function entry(node: Uint8Array, slot: number): Digest {
  return node.subarray(slot * DIGEST_BYTES, (slot + 1) * DIGEST_BYTES) as Digest;
}

function sameEntry(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < DIGEST_BYTES; i++) if (a[i] !== b[i]) return false;
  return true;
}

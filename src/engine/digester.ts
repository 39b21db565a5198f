// Digests of objects, by kernel: pages of one size go through the four-lane batch, anything else alone.

import type { OwnedBytes } from '../base/bytes.ts';
import { MIB } from '../base/limits.ts';
import type { Digest } from '../format/digest.ts';
import type { Address, Kernels } from '../kernel/kernels.ts';
import { isPageBytes } from '../memory/region.ts';

const DIGEST_BYTES = 32;
/** Bytes digested in one call of the kernel: they and their digests stay in the cache. */
const BATCH_BYTES = MIB;
const MAX_BATCH_PAGES = BATCH_BYTES / 256;

/** Digests of pages, 32 bytes each, and by index the 8 bytes that a page repeats. */
export interface InspectedPagesOf {
  readonly digests: OwnedBytes;
  readonly patterns: ReadonlyMap<number, OwnedBytes>;
}

/** BLAKE3-256 of whatever is handed in; results are copies. */
export class Digester {
  readonly kernels: Kernels;
  readonly #pages: Address;
  readonly #digests: Address;

  constructor(kernels: Kernels) {
    this.kernels = kernels;
    this.#pages = kernels.arena.allocate(BATCH_BYTES, 64);
    this.#digests = kernels.arena.allocate(DIGEST_BYTES * MAX_BATCH_PAGES, 64);
  }

  /** The digest of bytes of any length. */
  digest = (bytes: Uint8Array): Digest => {
    const { arena } = this.kernels;
    const fits = bytes.length <= BATCH_BYTES;
    const mark = arena.mark();
    const at = fits ? this.#pages : arena.allocate(bytes.length, 64);
    arena.bytes(at, bytes.length).set(bytes);
    this.kernels.digestBytes(at, bytes.length, this.#digests);
    arena.release(mark);
    return arena.bytes(this.#digests, DIGEST_BYTES).slice() as Digest;
  };

  /** The digests, 32 bytes each, of the pages that `bytes` is a whole number of. */
  digestPages(bytes: Uint8Array, pageBytes: number): OwnedBytes {
    const { arena } = this.kernels;
    const pageCount = bytes.length / pageBytes;
    const batchPages = BATCH_BYTES / pageBytes;
    const digests = new Uint8Array(pageCount * DIGEST_BYTES);
    for (let page = 0; page < pageCount; page += batchPages) {
      const count = Math.min(batchPages, pageCount - page);
      const part = bytes.subarray(page * pageBytes, (page + count) * pageBytes);
      arena.bytes(this.#pages, part.length).set(part);
      this.kernels.digestPages(this.#pages, pageBytes, count, this.#digests);
      digests.set(arena.bytes(this.#digests, count * DIGEST_BYTES), page * DIGEST_BYTES);
    }
    return digests;
  }

  /** The digests of pages, as `digestPages`, and which of them repeat a pattern, as `fillPatterns`: the pages are read once. */
  inspectPages(bytes: Uint8Array, pageBytes: number): InspectedPagesOf {
    const { arena } = this.kernels;
    const pageCount = bytes.length / pageBytes;
    const batchPages = BATCH_BYTES / pageBytes;
    const digests = new Uint8Array(pageCount * DIGEST_BYTES);
    const patterns = new Map<number, OwnedBytes>();
    for (let page = 0; page < pageCount; page += batchPages) {
      const count = Math.min(batchPages, pageCount - page);
      const isAll = count === pageCount;
      const part = isAll ? bytes : bytes.subarray(page * pageBytes, (page + count) * pageBytes);
      arena.bytes(this.#pages, part.length).set(part);
      this.#inspectStaged(pageBytes, page, count, digests, patterns);
    }
    return { digests, patterns };
  }

  /** As `inspectPages`, of pages that lie among `bytes`: page `p` from `p * pageBytes` on. */
  inspectListed(bytes: Uint8Array, pages: Uint32Array, pageBytes: number): InspectedPagesOf {
    const digests = new Uint8Array(pages.length * DIGEST_BYTES);
    const patterns = new Map<number, OwnedBytes>();
    const batchPages = BATCH_BYTES / pageBytes;
    for (let first = 0; first < pages.length; first += batchPages) {
      const count = Math.min(batchPages, pages.length - first);
      const staged = this.kernels.arena.bytes(this.#pages, count * pageBytes);
      for (let index = 0; index < count; ) {
        const from = pages[first + index]!;
        let end = index + 1;
        while (end < count && pages[first + end] === from + end - index) end++;
        staged.set(bytes.subarray(from * pageBytes, (from + end - index) * pageBytes), index * pageBytes);
        index = end;
      }
      this.#inspectStaged(pageBytes, first, count, digests, patterns);
    }
    return { digests, patterns };
  }

  /** `bytes` exclusive-or `base`, which is as long and at most half a batch, in place until the next call; how many differ. */
  delta = (
    bytes: Uint8Array,
    base: Uint8Array,
  ): { readonly payload: Uint8Array; readonly different: number } => {
    const { arena } = this.kernels;
    const other = this.#pages + BATCH_BYTES / 2;
    arena.bytes(this.#pages, bytes.length).set(bytes);
    arena.bytes(other, base.length).set(base);
    const different = this.kernels.xorBytes(this.#pages, other, this.#pages, bytes.length);
    return { payload: arena.bytes(this.#pages, bytes.length), different };
  };

  /** The digests of several objects, 32 bytes each, in their order. */
  digestAll(objects: readonly Uint8Array[]): OwnedBytes {
    const digests = new Uint8Array(objects.length * DIGEST_BYTES);
    const { arena } = this.kernels;
    for (let first = 0; first < objects.length; ) {
      const lengthBytes = objects[first]!.length;
      const batch = isPageBytes(lengthBytes) ? BATCH_BYTES / lengthBytes : 1;
      let count = 1;
      while (count < batch && objects[first + count]?.length === lengthBytes) count++;
      if (count === 1) {
        digests.set(this.digest(objects[first]!), first * DIGEST_BYTES);
      } else {
        const at = arena.bytes(this.#pages, count * lengthBytes);
        for (let i = 0; i < count; i++) at.set(objects[first + i]!, i * lengthBytes);
        this.kernels.digestPages(this.#pages, lengthBytes, count, this.#digests);
        digests.set(arena.bytes(this.#digests, count * DIGEST_BYTES), first * DIGEST_BYTES);
      }
      first += count;
    }
    return digests;
  }

  /** The pages in which two arrays of one length differ; both are whole numbers of pages. */
  differingPages(a: Uint8Array, b: Uint8Array, pageBytes: number): Uint32Array {
    const { arena } = this.kernels;
    const batchPages = BATCH_BYTES / 2 / pageBytes;
    const mark = arena.mark();
    const bits = arena.allocate(Math.ceil(batchPages / 8), 16);
    const list = arena.allocate(4 * batchPages, 16);
    const found: number[] = [];
    for (let at = 0; at < a.length; at += BATCH_BYTES / 2) {
      const lengthBytes = Math.min(BATCH_BYTES / 2, a.length - at);
      const other = this.#pages + BATCH_BYTES / 2;
      arena.bytes(this.#pages, lengthBytes).set(a.subarray(at, at + lengthBytes));
      arena.bytes(other, lengthBytes).set(b.subarray(at, at + lengthBytes));
      this.kernels.comparePages(this.#pages, other, pageBytes, lengthBytes / pageBytes, bits);
      const count = this.kernels.listBits(bits, lengthBytes / pageBytes, list);
      for (const index of arena.words(list, count)) found.push(at / pageBytes + index);
    }
    arena.release(mark);
    return Uint32Array.from(found);
  }

  /** Which pages repeat one 8-byte pattern: index to pattern, as 8 bytes. */
  fillPatterns(bytes: Uint8Array, pageBytes: number): Map<number, OwnedBytes> {
    const { arena } = this.kernels;
    const found = new Map<number, OwnedBytes>();
    const pageCount = bytes.length / pageBytes;
    const batchPages = BATCH_BYTES / pageBytes;
    for (let page = 0; page < pageCount; page += batchPages) {
      const count = Math.min(batchPages, pageCount - page);
      const part = bytes.subarray(page * pageBytes, (page + count) * pageBytes);
      arena.bytes(this.#pages, part.length).set(part);
      this.#findPatterns(pageBytes, page, count, found);
    }
    return found;
  }

  /** Digests and patterns of the pages in the work area, the first of which is `first`. */
  #inspectStaged(
    pageBytes: number,
    first: number,
    count: number,
    digests: OwnedBytes,
    patterns: Map<number, OwnedBytes>,
  ): void {
    this.#findPatterns(pageBytes, first, count, patterns);
    this.kernels.digestPages(this.#pages, pageBytes, count, this.#digests);
    const found = this.kernels.arena.bytes(this.#digests, count * DIGEST_BYTES);
    digests.set(found, first * DIGEST_BYTES);
  }

  /** Of the pages in the work area, the first of which is `first`. */
  #findPatterns(pageBytes: number, first: number, count: number, found: Map<number, OwnedBytes>): void {
    const { arena } = this.kernels;
    const mark = arena.mark();
    const bits = arena.allocate(Math.ceil(count / 8), 16);
    // Patterns take 8 bytes a page and digests 32: the same scratch serves.
    const fills = this.kernels.fillPages(this.#pages, pageBytes, count, bits, this.#digests);
    if (fills > 0) {
      const list = arena.allocate(4 * count, 16);
      this.kernels.listBits(bits, count, list);
      for (const index of arena.words(list, fills)) {
        found.set(first + index, arena.bytes(this.#digests + 8 * index, 8).slice() as OwnedBytes);
      }
    }
    arena.release(mark);
  }
}

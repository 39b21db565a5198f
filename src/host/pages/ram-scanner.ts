// Looks at a machine's RAM, which is a file, in threads: a digest a page is all that it keeps, and copies of pages up to a
// bound. So it takes 32 bytes for each page of RAM (8 GiB: 64 MiB), a bit or two, and 128 MiB, whatever the machine has.

import { assert } from '../../base/assert.ts';
import type { OwnedBytes } from '../../base/bytes.ts';
import type { PagesAtHand } from '../../engine/page-encoder.ts';
import { PageSet } from '../../memory/page-set.ts';
import { pageCountOf, type Region } from '../../memory/region.ts';
import type { DigestedPages, DigestScanner } from '../../tracking/digest-scanner.ts';
import type { PageFile } from '../../tracking/tracker.ts';
import {
  CHUNK_PAGES,
  CURSOR,
  DIGEST_BYTES,
  IS_FOR_ZEROS,
  IS_PARTIAL,
  KEPT,
  openScanMemory,
  PAGE_BYTES,
  type ScanMemory,
} from './scan-memory.ts';
import { pageThreads, type ThreadPool } from './thread-pool.ts';

export interface RamScannerOptions {
  /** Room for copies of pages; 128 MiB when left out. */
  readonly mostKeptBytes?: number;
  readonly threads?: ThreadPool;
}

/** Machines with fewer pages are looked at as a whole to sound out what changed; of others a page of each chunk. */
const SMALL_PAGES = 1024;
const DIGEST_WORDS = DIGEST_BYTES / 4;

export class RamScanner implements DigestScanner {
  readonly #path: string;
  /** By region: its first page's place in the file. */
  readonly #firstPages: readonly number[];
  readonly #memory: ScanMemory;
  readonly #threads: ThreadPool;
  readonly #places = new Map<number, number>();
  #soundings = 0;

  /** Of the file at `path`, in which the regions lie one after another. Nothing is read yet. */
  constructor(path: string, regions: readonly Region[], options: RamScannerOptions = {}) {
    this.#path = path;
    this.#threads = options.threads ?? pageThreads();
    let pages = 0;
    this.#firstPages = regions.map((region) => {
      const first = pages;
      pages += pageCountOf(region);
      return first;
    });
    this.#memory = openScanMemory(pages * PAGE_BYTES, options.mostKeptBytes);
  }

  async scan(
    changed: readonly PageSet[],
    keep?: readonly PageSet[],
    only?: readonly PageSet[],
  ): Promise<void> {
    const memory = this.#memory;
    memory.changed.fill(0);
    memory.wanted.fill(0);
    Atomics.store(memory.control, IS_FOR_ZEROS, 0);
    Atomics.store(memory.control, CURSOR, 0);
    // Without room, no copy is made.
    Atomics.store(memory.control, KEPT, keep === undefined ? memory.keptPages.length : 0);
    if (keep !== undefined) this.#places.clear();
    for (const [region, pages] of keep?.entries() ?? []) this.#copyBits(region, pages, memory.wanted, 'in');
    Atomics.store(memory.control, IS_PARTIAL, only === undefined ? 0 : 1);
    memory.only.set(memory.wanted);
    for (const [region, pages] of only?.entries() ?? []) this.#copyBits(region, pages, memory.only, 'in');
    try {
      await this.#threads.runOnAll({ kind: 'scan', path: this.#path, memory });
    } finally {
      for (const [region, pages] of changed.entries()) this.#copyBits(region, pages, memory.changed, 'out');
    }
    if (keep === undefined) return;
    const count = Math.min(Atomics.load(memory.control, KEPT), memory.keptPages.length);
    for (let place = 0; place < count; place++) this.#places.set(memory.keptPages[place]!, place);
  }

  async findNonZero(found: readonly PageSet[]): Promise<void> {
    const memory = this.#memory;
    memory.changed.fill(0);
    Atomics.store(memory.control, CURSOR, 0);
    Atomics.store(memory.control, IS_PARTIAL, 0);
    Atomics.store(memory.control, IS_FOR_ZEROS, 1);
    await this.#threads.runOnAll({ kind: 'scan', path: this.#path, memory });
    for (const [region, pages] of found.entries()) this.#copyBits(region, pages, memory.changed, 'out');
  }

  fileOf(region: number): PageFile {
    return { path: this.#path, atBytes: this.#firstPages[region]! * PAGE_BYTES };
  }

  async soundOut(changed: readonly PageSet[]): Promise<number> {
    const pageCount = changed.reduce((sum, pages) => sum + pages.pageCount, 0);
    const step = pageCount < SMALL_PAGES ? 1 : CHUNK_PAGES;
    // Others each time: what is written again and again at the same places would be told too often, or never.
    const start = this.#soundings++ % step;
    const only = changed.map(({ pageCount }) => {
      const pages = new PageSet(pageCount);
      for (let page = start; page < pageCount; page += step) pages.add(page);
      return pages;
    });
    const found = changed.map(({ pageCount }) => new PageSet(pageCount));
    try {
      await this.scan(found, undefined, only);
    } finally {
      for (const [region, pages] of found.entries()) changed[region]!.addAll(pages);
    }
    return step * found.reduce((sum, { size }) => sum + size, 0);
  }

  kept(region: number, page: number): Uint8Array | undefined {
    const place = this.#places.get(this.#firstPages[region]! + page);
    if (place === undefined) return undefined;
    return this.#memory.kept.subarray(place * PAGE_BYTES, (place + 1) * PAGE_BYTES);
  }

  isZero(region: number, page: number): boolean {
    const at = (this.#firstPages[region]! + page) * DIGEST_WORDS;
    for (let word = at; word < at + DIGEST_WORDS; word++) if (this.#memory.digests[word] !== 0) return false;
    return true;
  }

  holds(region: number, page: number, digest: Uint8Array): boolean {
    const known = this.#digestOf(region, page);
    for (let byte = 0; byte < DIGEST_BYTES; byte++) if (known[byte] !== digest[byte]) return false;
    return true;
  }

  learn(region: number, page: number, digest: Uint8Array): void {
    this.#digestOf(region, page).set(digest);
  }

  async digest(bytes: OwnedBytes, pageBytes: number): Promise<DigestedPages> {
    const sent: PagesAtHand = { kind: 'own', bytes };
    const { at, digests } = await this.#threads.run({ kind: 'inspect', at: sent, pageBytes }, [bytes.buffer]);
    assert(at.kind === 'own', 'bytes that were sent come back');
    return { bytes: at.bytes, digests };
  }

  #digestOf(region: number, page: number): Uint8Array {
    const at = (this.#firstPages[region]! + page) * DIGEST_BYTES;
    return new Uint8Array(this.#memory.digests.buffer, at, DIGEST_BYTES);
  }

  /** Copies a region's pages into a bitmap of the whole file, or adds to them those that are in it. */
  #copyBits(region: number, pages: PageSet, words: Uint32Array, direction: 'in' | 'out'): void {
    const first = this.#firstPages[region]!;
    if (first % 32 === 0) {
      const count = pages.words.length;
      const part = words.subarray(first / 32, first / 32 + count);
      // The last word may hold pages of the next region, where this one ends inside it: such a bit is no page of this one.
      const rest = pages.pageCount & 31;
      const lastMask = rest === 0 ? 0xffff_ffff : 2 ** rest - 1;
      for (let word = 0; word < count; word++) {
        const mask = word === count - 1 ? lastMask : 0xffff_ffff;
        if (direction === 'in') part[word]! |= pages.words[word]! & mask;
        else pages.words[word]! |= part[word]! & mask;
      }
      return;
    }
    const found = new PageSet(pages.pageCount);
    for (let page = 0; page < pages.pageCount; page++) {
      const at = first + page;
      if (direction === 'in' && pages.has(page)) words[at >>> 5]! |= 1 << (at & 31);
      else if (direction === 'out' && ((words[at >>> 5]! >>> (at & 31)) & 1) === 1) found.add(page);
    }
    if (direction === 'out') pages.addAll(found);
  }
}

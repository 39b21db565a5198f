// A set of page indices of one region, as a bitmap: bit `i & 31` of word `i >> 5`, the layout the kernels write.

import { assert } from '../base/assert.ts';

/** A run of consecutive pages: `first`, and how many. */
export interface PageRun {
  readonly first: number;
  readonly count: number;
}

/** A mutable set of page indices below `pageCount`. */
export class PageSet {
  readonly pageCount: number;
  /** Bit `i & 31` of word `i >> 5` is page `i`; bits past `pageCount` are zero. */
  readonly words: Uint32Array<ArrayBuffer>;

  constructor(pageCount: number, words?: Uint32Array<ArrayBuffer>) {
    this.pageCount = pageCount;
    this.words = words ?? new Uint32Array(Math.ceil(pageCount / 32));
    assert(this.words.length === Math.ceil(pageCount / 32), 'a bitmap has one bit a page');
  }

  /** The set of all pages. */
  static all(pageCount: number): PageSet {
    const set = new PageSet(pageCount);
    set.words.fill(0xffff_ffff);
    const rest = pageCount & 31;
    if (rest !== 0) set.words[set.words.length - 1] = 2 ** rest - 1;
    return set;
  }

  static from(pageCount: number, pages: Iterable<number>): PageSet {
    const set = new PageSet(pageCount);
    for (const page of pages) set.add(page);
    return set;
  }

  clone(): PageSet {
    return new PageSet(this.pageCount, this.words.slice());
  }

  add(page: number): void {
    assert(page >= 0 && page < this.pageCount, 'a page lies in its region');
    this.words[page >>> 5]! |= 1 << (page & 31);
  }

  delete(page: number): void {
    assert(page >= 0 && page < this.pageCount, 'a page lies in its region');
    this.words[page >>> 5]! &= ~(1 << (page & 31));
  }

  has(page: number): boolean {
    return page >= 0 && page < this.pageCount && ((this.words[page >>> 5]! >>> (page & 31)) & 1) === 1;
  }

  clear(): void {
    this.words.fill(0);
  }

  /** Adds every page of `other`, which is of the same region. */
  addAll(other: PageSet): void {
    assert(other.pageCount === this.pageCount, 'sets are of one region');
    for (let i = 0; i < this.words.length; i++) this.words[i]! |= other.words[i]!;
  }

  /** Removes every page of `other`, which is of the same region. */
  deleteAll(other: PageSet): void {
    assert(other.pageCount === this.pageCount, 'sets are of one region');
    for (let i = 0; i < this.words.length; i++) this.words[i]! &= ~other.words[i]!;
  }

  /** Removes every page that is not in `other`, which is of the same region. */
  keepAll(other: PageSet): void {
    assert(other.pageCount === this.pageCount, 'sets are of one region');
    for (let i = 0; i < this.words.length; i++) this.words[i]! &= other.words[i]!;
  }

  /** How many pages it holds. */
  get size(): number {
    let count = 0;
    for (const word of this.words) count += popcount(word);
    return count;
  }

  get isEmpty(): boolean {
    // Not by `every`: it is in pauses, and a call a word takes ten times as long.
    for (let i = 0; i < this.words.length; i++) if (this.words[i] !== 0) return false;
    return true;
  }

  /** Its pages, in ascending order. */
  *[Symbol.iterator](): Generator<number> {
    for (let i = 0; i < this.words.length; i++) {
      let word = this.words[i]!;
      while (word !== 0) {
        const bit = 31 - Math.clz32(word & -word);
        yield i * 32 + bit;
        word &= word - 1;
      }
    }
  }

  /** Its pages as runs of neighbours, in ascending order, none longer than `maxCount`. */
  *runs(maxCount = Number.POSITIVE_INFINITY): Generator<PageRun> {
    let first = -1;
    let count = 0;
    for (const page of this) {
      if (count > 0 && page === first + count && count < maxCount) {
        count++;
        continue;
      }
      if (count > 0) yield { first, count };
      first = page;
      count = 1;
    }
    if (count > 0) yield { first, count };
  }
}

function popcount(word: number): number {
  let v = word - ((word >>> 1) & 0x5555_5555);
  v = (v & 0x3333_3333) + ((v >>> 2) & 0x3333_3333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

// What changed pages held at the last committed capture, so that they can be stored as deltas. Bounded: a page that
// finds no room is simply stored whole. Its blocks are kept and used again, since it is filled while a guest rests.

import { MIB } from '../base/limits.ts';

const BLOCK_BYTES = MIB;

/** Old contents of pages, by region and page. */
export class PreviousPages {
  readonly #maxBlocks: number;
  readonly #blocks: Uint8Array<ArrayBuffer>[] = [];
  readonly #places: readonly Map<number, { readonly block: number; readonly at: number }>[];
  #block = 0;
  #at = 0;

  constructor(regionCount: number, maxBytes: number) {
    this.#maxBlocks = Math.floor(maxBytes / BLOCK_BYTES);
    this.#places = Array.from({ length: regionCount }, () => new Map());
  }

  /** Keeps a copy of a page unless there is one already, or no room. */
  keep(region: number, page: number, bytes: Uint8Array): void {
    const places = this.#places[region]!;
    if (places.has(page)) return;
    if (this.#at + bytes.length > BLOCK_BYTES) {
      this.#block++;
      this.#at = 0;
    }
    if (this.#block >= this.#maxBlocks) return;
    this.#blocks[this.#block] ??= new Uint8Array(BLOCK_BYTES);
    this.#blocks[this.#block]!.set(bytes, this.#at);
    places.set(page, { block: this.#block, at: this.#at });
    this.#at += bytes.length;
  }

  has(region: number, page: number): boolean {
    return this.#places[region]?.has(page) ?? false;
  }

  /** The page as it was, valid until `clear`; undefined when it was not kept. */
  get(region: number, page: number, pageBytes: number): Uint8Array | undefined {
    const place = this.#places[region]?.get(page);
    if (place === undefined) return undefined;
    return this.#blocks[place.block]!.subarray(place.at, place.at + pageBytes);
  }

  clear(): void {
    for (const places of this.#places) places.clear();
    this.#block = 0;
    this.#at = 0;
  }
}

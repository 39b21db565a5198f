// Pages of a streamed instant that wait to be stored: as many as there is room for, each with what it holds and its digest.

import type { OwnedBytes } from '../base/bytes.ts';
import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';

const DIGEST_BYTES = 32;

export class StreamedPart {
  readonly #regions: readonly Region[];
  readonly #pageBytes: number;
  readonly #mostPages: number;
  /** Memory that was never written takes no room. */
  readonly #bytes: OwnedBytes;
  readonly #digests: OwnedBytes;
  /** By region: the place of a page. */
  readonly #places: readonly Map<number, number>[];
  readonly #free: number[] = [];
  #used = 0;

  /** All regions have pages of one size. */
  constructor(regions: readonly Region[], mostPages: number) {
    this.#regions = regions;
    this.#pageBytes = regions[0]!.pageBytes;
    this.#mostPages = mostPages;
    this.#bytes = new Uint8Array(mostPages * this.#pageBytes);
    this.#digests = new Uint8Array(mostPages * DIGEST_BYTES);
    this.#places = regions.map(() => new Map());
  }

  /** Takes what a page holds now, zeros where there are no bytes; false when there is no room for one more. */
  put(region: number, page: number, bytes: Uint8Array | undefined, digest: Uint8Array): boolean {
    const place = this.#places[region]!.get(page) ?? this.#newPlace();
    if (place === undefined) return false;
    this.#places[region]!.set(page, place);
    const at = place * this.#pageBytes;
    if (bytes === undefined) this.#bytes.fill(0, at, at + this.#pageBytes);
    else this.#bytes.set(bytes, at);
    this.#digests.set(digest, place * DIGEST_BYTES);
    return true;
  }

  /** Forgets a page, if it is there. */
  drop(region: number, page: number): void {
    const place = this.#places[region]!.get(page);
    if (place === undefined) return;
    this.#places[region]!.delete(page);
    this.#free.push(place);
  }

  /** What a page holds, in place; undefined where it is not there. */
  bytesOf(region: number, page: number): Uint8Array | undefined {
    const place = this.#places[region]!.get(page);
    if (place === undefined) return undefined;
    return this.#bytes.subarray(place * this.#pageBytes, (place + 1) * this.#pageBytes);
  }

  /** The digest of what it holds, zeros for zeros. */
  digestOf(region: number, page: number): Uint8Array | undefined {
    const place = this.#places[region]!.get(page);
    if (place === undefined) return undefined;
    return this.#digests.subarray(place * DIGEST_BYTES, (place + 1) * DIGEST_BYTES);
  }

  /** A new set a region. */
  pages(): PageSet[] {
    return this.#regions.map((region) => PageSet.from(pageCountOf(region), this.#places[region.id]!.keys()));
  }

  clear(): void {
    for (const places of this.#places) places.clear();
    this.#free.length = 0;
    this.#used = 0;
  }

  #newPlace(): number | undefined {
    return this.#free.pop() ?? (this.#used < this.#mostPages ? this.#used++ : undefined);
  }
}

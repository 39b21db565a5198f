// Pages of a guest at rest, copied so that it can go on before anybody compares them. A copy reads its memory alone; a comparison
// reads the mirror, too, and writes what changed twice. Of six megabytes in another process that is two milliseconds in place of four.
//
// Memory for it is kept and used again, since it is filled while the guest rests.

import { assert } from '../base/assert.ts';
import { MIB } from '../base/limits.ts';
import type { PageSet } from '../memory/page-set.ts';
import type { Span } from '../memory/span.ts';
import type { Mirror, PageSource } from './mirror.ts';

/** Most that is copied: with more, a second copy of it all is no longer a small thing. */
const MOST_BYTES = 16 * MIB;
/** No run of pages is larger. */
const BLOCK_BYTES = MIB;

export class CopiedPages implements PageSource {
  readonly #mirror: Mirror;
  readonly #blocks: Uint8Array<ArrayBuffer>[] = [];
  /** By region and offset in it: the copy of a run. */
  readonly #runs: readonly Map<number, Uint8Array>[];

  constructor(mirror: Mirror) {
    this.#mirror = mirror;
    this.#runs = mirror.regions.map(() => new Map());
  }

  /** Whether these pages, a set a region, are few enough; null is all of a region. */
  fits(pages: readonly (PageSet | null)[]): boolean {
    let bytes = 0;
    for (const [region, set] of pages.entries()) {
      if (set === null) return false;
      bytes += set.size * this.#mirror.regions[region]!.pageBytes;
    }
    return bytes <= MOST_BYTES;
  }

  /** Copies pages that fit, in place of those before. The guest is at rest. Throws what reading it throws. */
  async copy(guest: PageSource, pages: readonly (PageSet | null)[]): Promise<void> {
    let block = 0;
    let at = 0;
    for (const { id, pageBytes, sizeBytes } of this.#mirror.regions) {
      const runs = this.#runs[id]!;
      runs.clear();
      for (const { first, count } of this.#mirror.chunks(id, pages[id]!)) {
        const offsetBytes = first * pageBytes;
        const lengthBytes = Math.min(count * pageBytes, sizeBytes - offsetBytes);
        if (at + lengthBytes > BLOCK_BYTES) {
          block++;
          at = 0;
        }
        this.#blocks[block] ??= new Uint8Array(BLOCK_BYTES);
        const run = this.#blocks[block]!.subarray(at, at + lengthBytes);
        const reading = guest.readPages({ region: id, offsetBytes, lengthBytes }, run);
        // Where it can be, at once: the guest would rest for as long as other work's turns take.
        if (reading !== undefined) await reading;
        runs.set(offsetBytes, run);
        at += lengthBytes;
      }
    }
  }

  view(): undefined {
    return undefined;
  }

  /** Of a run that was copied. */
  readPages({ region, offsetBytes, lengthBytes }: Span, into: Uint8Array): void {
    const run = this.#runs[region]?.get(offsetBytes);
    assert(run?.length === lengthBytes, 'pages are read in the runs in which they were copied');
    into.set(run);
  }
}

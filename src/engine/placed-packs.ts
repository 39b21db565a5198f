// Packs of one save that other threads put frames into. A few are open at a time, so that each thread has one to write to; the
// fullest is written first, so that few are left half full at the end.

import type { OwnedBytes } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import { DIGEST_BYTES } from '../format/digest.ts';
import type { Effort } from '../format/frame-codecs.ts';
import { PlacedPack } from '../format/placed-pack.ts';
import type { PageEncoder, PagesAtHand } from './page-encoder.ts';

export interface PlacedPacksParts {
  readonly encoder: PageEncoder;
  readonly effort: Effort;
  /** Takes a pack that nothing more is put into; resolves when there is room for another one on its way. */
  readonly send: (pack: PlacedPack) => Promise<void>;
}

export class PlacedPacks {
  readonly #parts: PlacedPacksParts;
  /** Open at a time: what is encoded is half of what threads have to do. */
  readonly #most: number;
  /** Packs that no thread writes to now. */
  readonly #idle = new Set<PlacedPack>();
  readonly #adding = new Set<Promise<void>>();
  readonly #waiting: (() => void)[] = [];
  #openCount = 0;

  constructor(parts: PlacedPacksParts) {
    this.#parts = parts;
    this.#most = Math.ceil(parts.encoder.lanes / 2);
  }

  /**
   * Has pages put into packs: `pages` are indices, a whole number of frames of them, and `digests` are theirs. Throws what `send` does,
   * `worker-lost` and `memory-exhausted`.
   */
  add(at: PagesAtHand, pageBytes: number, pages: Uint32Array, digests: OwnedBytes): Promise<void> {
    const adding = this.#add(at, pageBytes, pages, digests);
    const noted = adding.catch(() => {}).finally(() => this.#adding.delete(noted));
    this.#adding.add(noted);
    return adding;
  }

  /** Sends what is left. */
  async finish(): Promise<void> {
    for (const pack of [...this.#idle]) await this.#send(pack);
  }

  /** Resolves when nothing is being added any more, be it that it failed. */
  async settled(): Promise<void> {
    await Promise.all(this.#adding);
  }

  async #add(at: PagesAtHand, pageBytes: number, pages: Uint32Array, digests: OwnedBytes): Promise<void> {
    const { encoder, effort } = this.#parts;
    const perFrame = LIMITS.frameBytes / pageBytes;
    let left = at;
    for (let first = 0; first < pages.length; ) {
      const pack = await this.#take(perFrame);
      const end = Math.min(pages.length, first + perFrame * pack.framesThatFit(perFrame));
      const into = { memory: pack.memory, offsetBytes: pack.endBytes };
      try {
        const encoded = await encoder.encode(left, pageBytes, pages.subarray(first, end), effort, into);
        pack.addFrames(encoded.frames, digests.subarray(first * DIGEST_BYTES, end * DIGEST_BYTES));
        left = encoded.at;
      } catch (error) {
        this.#drop();
        throw error;
      }
      first = end;
      if (pack.framesThatFit(perFrame) === 0) await this.#send(pack);
      else this.#free(pack);
    }
  }

  /** The fullest pack that is idle and has room for such a frame, or a new one. */
  async #take(perFrame: number): Promise<PlacedPack> {
    for (;;) {
      const [pack] = [...this.#idle].sort((a, b) => b.endBytes - a.endBytes);
      if (pack !== undefined) {
        this.#idle.delete(pack);
        if (pack.framesThatFit(perFrame) > 0) return pack;
        await this.#send(pack);
      } else if (this.#openCount < this.#most) {
        const fresh = new PlacedPack(this.#parts.encoder.takeMemory());
        this.#openCount++;
        return fresh;
      } else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #free(pack: PlacedPack): void {
    this.#idle.add(pack);
    this.#waiting.shift()?.();
  }

  #send(pack: PlacedPack): Promise<void> {
    this.#idle.delete(pack);
    this.#drop();
    return this.#parts.send(pack);
  }

  /** One less is open. */
  #drop(): void {
    this.#openCount--;
    this.#waiting.shift()?.();
  }
}

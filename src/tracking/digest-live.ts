// Live captures of a guest too large for a copy of its memory: which part of the instant is in hand, and how it ended.

import { assert } from '../base/assert.ts';
import type { OwnedBytes } from '../base/bytes.ts';
import type { Guest, StreamedInstant } from '../guest/guest.ts';
import type { PageSet } from '../memory/page-set.ts';
import type { DigestScanner } from './digest-scanner.ts';
import { StreamedPages } from './streamed-pages.ts';
import type { StreamedPart } from './streamed-part.ts';

export class DigestLive {
  readonly #guest: Guest;
  readonly #scanner: DigestScanner;
  readonly #partBytes: number | undefined;
  #streamed: StreamedPages | null = null;
  /** What is being stored, or was captured. */
  #part: StreamedPart | null = null;
  #instant: StreamedInstant | null = null;
  #refusal: string | null = null;

  constructor(guest: Guest, scanner: DigestScanner, partBytes: number | undefined) {
    this.#guest = guest;
    this.#scanner = scanner;
    this.#partBytes = partBytes;
  }

  /** What belongs to the instant beside pages, once all of it has been told; null before, and where there is none. */
  get instant(): StreamedInstant | null {
    return this.#instant;
  }

  /** Why there is none; null where there is, or may be. */
  get refusal(): string | null {
    return this.#refusal;
  }

  /** Whether pages are read from here. */
  get hasPart(): boolean {
    return this.#part !== null;
  }

  /**
   * The next pages to be stored, those before having been; null where all but what `take` gives has come, or none does.
   * `wanted` are pages that are to be handed out whatever they hold. Throws what the guest throws, and `aborted`.
   */
  async next(wanted: () => readonly PageSet[]): Promise<readonly PageSet[] | null> {
    if (this.#instant !== null || this.#refusal !== null) return null;
    const { regions, streamInstant } = this.#guest;
    if (streamInstant === undefined) {
      this.#refusal = 'it cannot send its memory while it runs';
      return null;
    }
    this.#streamed ??= new StreamedPages({
      guest: { regions, streamInstant: streamInstant.bind(this.#guest) },
      scanner: this.#scanner,
      wanted: wanted(),
      partBytes: this.#partBytes,
    });
    const step = await this.#streamed.next();
    if (step.kind === 'refused') {
      this.#refusal = step.reason;
      return null;
    }
    this.#part = step.part;
    if (step.kind === 'part') return step.part.pages();
    this.#instant = step.instant;
    return null;
  }

  /** The pages that are left of the instant. What the scanner knows is the instant then. */
  take(): PageSet[] {
    assert(this.#part !== null && this.#instant !== null, 'an instant that was told is taken');
    const pages = this.#part.pages();
    for (const [region, ofRegion] of pages.entries()) {
      for (const page of ofRegion)
        this.#scanner.learn(region, page, this.#part.digestOf(region, page)!, true);
    }
    return pages;
  }

  /** What pages of the part in hand hold. */
  read(region: number, pages: Uint32Array, pageBytes: number): OwnedBytes {
    const bytes = new Uint8Array(pages.length * pageBytes);
    for (const [index, page] of pages.entries()) {
      const held = this.#part?.bytesOf(region, page);
      assert(held !== undefined, 'a page of the part in hand is read');
      bytes.set(held, index * pageBytes);
    }
    return bytes;
  }

  /** Whoever waits for the next pages hears `aborted`. */
  giveUp(): void {
    this.#streamed?.giveUp();
  }

  /** Over, either way; resolves when the guest is done with it. */
  async end(): Promise<void> {
    const streamed = this.#streamed;
    this.#streamed = null;
    this.#part = null;
    this.#instant = null;
    this.#refusal = null;
    await streamed?.end();
  }
}

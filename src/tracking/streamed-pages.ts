// An instant that the process which holds the guest sends while the guest runs, of a guest too large for a copy of its memory.
// What comes is digested in threads, in batches; what differs from what is known waits for the engine, which stores it part
// by part, and all else is forgotten at once. So memory is bounded, whatever the guest has and does:
//
//   told ─▶ batch ─digests─▶ differs? ─▶ filling ──full──▶ storing ─▶ the engine
//                              │ no                 waits while the engine has a part in hand,
//                              ▼                    and whoever tells then waits, too
//                           dropped
//
// A page may come again and counts as it came last. Batches are settled in the order in which they came, so a later content
// replaces an earlier one in the part that fills, and goes after it where the earlier one is being stored. Where it is again
// what is known, the page is taken out of the part that fills.
//
// What is known changes only as the engine says what it stored. So a stream that breaks off leaves nothing to be undone.

import { equalBytes, type OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { MIB } from '../base/limits.ts';
import type { Guest, StreamedInstant } from '../guest/guest.ts';
import type { PageSet } from '../memory/page-set.ts';
import type { DigestScanner } from './digest-scanner.ts';
import { StreamedPart } from './streamed-part.ts';

/** Digested in one go. */
const BATCH_PAGES = 256;
/** Batches that were told and are not settled: enough for each thread to have one in hand and one that waits. */
const MOST_BATCHES = 16;
/** Of a part. There are two of them. */
const PART_BYTES = 32 * MIB;
const ZERO = new Uint8Array(32);

export interface StreamedPagesParts {
  readonly guest: Pick<Guest, 'regions'> & Required<Pick<Guest, 'streamInstant'>>;
  readonly scanner: DigestScanner;
  /** Pages that are to be handed out whatever they hold. */
  readonly wanted: readonly PageSet[];
  /** 32 MiB when left out. */
  readonly partBytes?: number | undefined;
}

/** What came of waiting: a part to be stored, or all that is left of the instant, or why it cannot be had now. */
export type StreamedStep =
  | { readonly kind: 'part'; readonly part: StreamedPart }
  | { readonly kind: 'end'; readonly part: StreamedPart; readonly instant: StreamedInstant }
  | { readonly kind: 'refused'; readonly reason: string };

/** Pages that came one after another. */
interface Batch {
  readonly regions: Uint8Array;
  readonly pages: Uint32Array;
  readonly isZero: Uint8Array;
  /** The others, one after another. */
  bytes: OwnedBytes;
  count: number;
  filled: number;
}

export class StreamedPages {
  readonly #parts: StreamedPagesParts;
  readonly #pageBytes: number;
  readonly #abort = new AbortController();
  readonly #spares: OwnedBytes[] = [];
  #batch: Batch | undefined;
  #batchesUnderWay = 0;
  /** Settles with the last batch so far. */
  #settling: Promise<void> = Promise.resolve();
  #filling: StreamedPart;
  #storing: StreamedPart | undefined;
  #spare: StreamedPart | undefined;
  #failure: { readonly error: unknown } | undefined;
  #outcome: StreamedInstant | { readonly reason: string } | undefined;
  readonly #ended: Promise<void>;
  #changed = newSignal();

  /** The guest is asked at once. All its regions have pages of one size. */
  constructor(parts: StreamedPagesParts) {
    this.#parts = parts;
    this.#pageBytes = parts.guest.regions[0]!.pageBytes;
    this.#filling = this.#newPart();
    this.#ended = this.#stream();
  }

  /**
   * The part before was stored, if there was one; waits for the next. Throws `aborted` after `end`, and what the guest and
   * digesting throw. After anything but a part, nothing comes.
   */
  async next(): Promise<StreamedStep> {
    this.#takeBack();
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#storing !== undefined) return { kind: 'part', part: this.#storing };
      if (this.#outcome !== undefined && 'reason' in this.#outcome)
        return { kind: 'refused', ...this.#outcome };
      if (this.#outcome !== undefined) return { kind: 'end', part: this.#filling, instant: this.#outcome };
      await this.#changed.promise;
    }
  }

  /** Gives it up, where it is not at its end; resolves when the guest is done with it. May be called again. */
  async end(): Promise<void> {
    this.giveUp();
    await this.#ended;
  }

  /** As `end`, without waiting. */
  giveUp(): void {
    if (this.#outcome === undefined) this.#fail(new VitrineError('aborted'));
  }

  async #stream(): Promise<void> {
    try {
      const outcome = await this.#parts.guest.streamInstant(
        (region, page, bytes, isZero) => this.#take(region, page, bytes, isZero),
        this.#abort.signal,
      );
      this.#send();
      await this.#settling;
      if (this.#failure === undefined) this.#outcome = outcome;
    } catch (error) {
      this.#fail(error);
    }
    this.#tell();
  }

  #take(region: number, page: number, bytes: Uint8Array, isZero = false): undefined | Promise<void> {
    this.#batch ??= this.#newBatch();
    const batch = this.#batch;
    batch.regions[batch.count] = region;
    batch.pages[batch.count] = page;
    batch.isZero[batch.count++] = isZero ? 1 : 0;
    if (!isZero) {
      const at = batch.filled++ * this.#pageBytes;
      batch.bytes.set(bytes, at);
      // The last page of a region may be short.
      if (bytes.length < this.#pageBytes) batch.bytes.fill(0, at + bytes.length, at + this.#pageBytes);
    }
    if (batch.count === BATCH_PAGES) this.#send();
    return this.#batchesUnderWay < MOST_BATCHES ? undefined : this.#hasRoom();
  }

  async #hasRoom(): Promise<void> {
    while (this.#failure === undefined && this.#batchesUnderWay >= MOST_BATCHES) await this.#changed.promise;
  }

  #send(): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#batch = undefined;
    this.#batchesUnderWay++;
    const { scanner } = this.#parts;
    const filled = batch.bytes.subarray(0, batch.filled * this.#pageBytes);
    const digesting =
      batch.filled === 0
        ? Promise.resolve({ bytes: filled, digests: ZERO })
        : scanner.digest(filled, this.#pageBytes);
    // Whoever settles it hears of it.
    digesting.catch(() => {});
    this.#settling = this.#settling
      .then(async () => {
        const { bytes, digests } = await digesting;
        batch.bytes = bytes;
        if (this.#failure === undefined) await this.#settle(batch, digests);
        this.#spares.push(new Uint8Array(bytes.buffer));
        this.#batchesUnderWay--;
        this.#tell();
      })
      .catch((error: unknown) => this.#fail(error));
  }

  async #settle(batch: Batch, digests: Uint8Array): Promise<void> {
    let filled = 0;
    for (let index = 0; index < batch.count; index++) {
      const region = batch.regions[index]!;
      const page = batch.pages[index]!;
      const place = batch.isZero[index] === 1 ? -1 : filled++;
      const digest = place < 0 ? ZERO : digests.subarray(place * 32, place * 32 + 32);
      if (!this.#differs(region, page, digest)) {
        this.#filling.drop(region, page);
        continue;
      }
      const at = place * this.#pageBytes;
      const bytes = place < 0 ? undefined : batch.bytes.subarray(at, at + this.#pageBytes);
      while (!this.#filling.put(region, page, bytes, digest)) {
        await this.#turnOver();
        if (this.#failure !== undefined) return;
      }
    }
  }

  /** Whether it has to be handed out: against what will be known when all that was handed out is stored. */
  #differs(region: number, page: number, digest: Uint8Array): boolean {
    const stored = this.#storing?.digestOf(region, page);
    if (stored !== undefined) return !equalBytes(stored, digest);
    const { wanted, scanner } = this.#parts;
    return wanted[region]!.has(page) || !scanner.holds(region, page, digest);
  }

  /** Hands the full part over, once the one before was stored. */
  async #turnOver(): Promise<void> {
    while (this.#storing !== undefined && this.#failure === undefined) await this.#changed.promise;
    if (this.#failure !== undefined) return;
    this.#storing = this.#filling;
    this.#filling = this.#spare ?? this.#newPart();
    this.#spare = undefined;
    this.#tell();
  }

  #takeBack(): void {
    const stored = this.#storing;
    if (stored === undefined) return;
    for (const [region, pages] of stored.pages().entries()) this.#parts.wanted[region]!.deleteAll(pages);
    stored.clear();
    this.#spare = stored;
    this.#storing = undefined;
    this.#tell();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#abort.abort();
    this.#tell();
  }

  /** Wakes all who wait for something to change. */
  #tell(): void {
    const { resolve } = this.#changed;
    this.#changed = newSignal();
    resolve();
  }

  #newPart(): StreamedPart {
    const { guest, partBytes = PART_BYTES } = this.#parts;
    return new StreamedPart(guest.regions, Math.max(1, Math.floor(partBytes / this.#pageBytes)));
  }

  #newBatch(): Batch {
    return {
      regions: new Uint8Array(BATCH_PAGES),
      pages: new Uint32Array(BATCH_PAGES),
      isZero: new Uint8Array(BATCH_PAGES),
      bytes: this.#spares.pop() ?? new Uint8Array(BATCH_PAGES * this.#pageBytes),
      count: 0,
      filled: 0,
    };
  }
}

function newSignal(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

// Batches of pages on their way through other threads, several at a time; they are looked at in the order in which they came:
//
//   pages ─inspect─▶ digests ─which are new?─▶ encode ─▶ packs of the sink
//
// What is new is decided here, since only here it is known what the store and this save have. Pages that fill no whole frame
// go into the sink's own, and so do those that are kept as deltas of what they held before: that is little to encode.

import type { OwnedBytes } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import { compareDigests, DIGEST_BYTES, type Digest, isZeroDigest } from '../format/digest.ts';
import { isWorthwhileDelta } from '../format/pack-writer.ts';
import type { Table } from '../format/table.ts';
import type { NewObject, PackSink } from './pack-sink.ts';
import {
  type InspectedPages,
  type PageEncoder,
  type PagesAtHand,
  type PagesBefore,
  type PagesInFile,
  pageAt,
} from './page-encoder.ts';
import type { TableReader } from './table-reader.ts';

/** Pages of a region, and the table that they are told from. */
export interface LaneBatch {
  readonly before: Table;
  readonly pages: Uint32Array;
}

/** Hears of a batch, in order: the digests of all its pages, zeros for zeros, and the indices of those that changed. */
export type LaneListener = (
  batch: LaneBatch,
  digests: OwnedBytes,
  changed: readonly number[],
) => Promise<void>;

export interface LaneParts {
  readonly encoder: PageEncoder;
  readonly sink: PackSink;
  readonly tables: TableReader;
  readonly listener: LaneListener;
}

export class PageLanes {
  readonly #parts: LaneParts;
  readonly #inspecting: { readonly batch: LaneBatch; readonly inspected: Promise<InspectedPages> }[] = [];
  readonly #encoding = new Set<Promise<void>>();

  constructor(parts: LaneParts) {
    this.#parts = parts;
  }

  /**
   * Takes a batch and its pages, bytes of its own or shared ones; waits while there are as many as are worth having. What pages held
   * before must be what the batch's table names.
   */
  async add(batch: LaneBatch, at: PagesAtHand | PagesInFile, past?: PagesBefore): Promise<void> {
    const inspected = this.#parts.encoder.inspect(at, batch.before.pageBytes, past);
    // Whoever waits for it hears of its failure; nobody may, where another one failed before.
    inspected.catch(() => {});
    this.#inspecting.push({ batch, inspected });
    if (this.#inspecting.length >= this.#parts.encoder.lanes) await this.#takeInspected();
  }

  /** Waits until all batches are in the sink. Throws what the threads and the sink throw. */
  async drain(): Promise<void> {
    while (this.#inspecting.length > 0) await this.#takeInspected();
    await Promise.all(this.#encoding);
  }

  async #takeInspected(): Promise<void> {
    const { encoder, sink, tables, listener } = this.#parts;
    const { batch, inspected } = this.#inspecting.shift()!;
    const { at, digests, patterns, past } = await inspected;
    const { before, pages } = batch;
    const { pageBytes } = before;
    const was = await tables.pageDigests(before, pages);
    const changed: number[] = [];
    const kept: number[] = [];
    const digestAt = (index: number): Digest => digests.subarray(index * 32, index * 32 + 32) as Digest;
    const bytesAt = (index: number): Uint8Array => pageAt(at, pageBytes, index);
    let old = 0;
    /** What a page is worth being kept as a delta of. Asked for in order. */
    const baseAt = (index: number): NewObject['base'] => {
      if (past === undefined) return undefined;
      while (old < past.of.length && past.of[old]! < index) old++;
      if (past.of[old] !== index || isZeroDigest(was, index * 32)) return undefined;
      if (!isWorthwhileDelta(past.different[old]!, pageBytes)) return undefined;
      const bytes = past.bytes.subarray(old * pageBytes, (old + 1) * pageBytes);
      return { digest: was.subarray(index * 32, index * 32 + 32) as Digest, bytes };
    };
    for (let index = 0; index < pages.length; index++) {
      const pattern = patterns.get(index);
      const isZero = pattern?.every((byte) => byte === 0) ?? false;
      if (isZero) digests.fill(0, index * 32, index * 32 + 32);
      if (compareDigests(digests, was, index * 32, index * 32) === 0) continue;
      changed.push(index);
      const base = pattern === undefined ? baseAt(index) : undefined;
      if (base !== undefined) {
        await sink.add({ digest: digestAt(index), kind: 'page', bytes: bytesAt(index), base });
        continue;
      }
      if (isZero || !sink.wants(digests, index * DIGEST_BYTES)) continue;
      if (pattern === undefined) kept.push(index);
      else await sink.addWanted({ digest: digestAt(index), kind: 'page', bytes: bytesAt(index), pattern });
    }
    await listener(batch, digests, changed);
    const inFrames = kept.length - (kept.length % (LIMITS.frameBytes / pageBytes));
    for (const index of kept.slice(inFrames)) {
      await sink.addWanted({ digest: digestAt(index), kind: 'page', bytes: bytesAt(index) });
    }
    if (inFrames === 0) return encoder.release(at);
    const chosen = Uint32Array.from(kept.slice(0, inFrames));
    const ofChosen = new Uint8Array(chosen.length * DIGEST_BYTES);
    let place = 0;
    for (const index of chosen) {
      for (let byte = 0; byte < DIGEST_BYTES; byte++)
        ofChosen[place++] = digests[index * DIGEST_BYTES + byte]!;
    }
    const encoding = sink.addEncoded(at, pageBytes, chosen, ofChosen).then(() => encoder.release(at));
    // Its failure is told by whoever awaits it: the next batch that finds as many under way, or the end.
    encoding.then(() => this.#encoding.delete(encoding)).catch(() => {});
    this.#encoding.add(encoding);
    if (this.#encoding.size >= encoder.lanes) await Promise.race(this.#encoding);
  }
}

// A delta: what differs between two instants, as the XOR of their pages, encoded. Applied to either instant it gives the
// other one, so one delta serves both directions; two of them in a row compose to one.
//
//   pages of unit 0, ascending │ pages of unit 1 … ─ frames of at most 64 KiB, none of which cuts a page ─ codec ─▶ bytes
//
// A unit is a region, or a device record, which has pages too: `units.ts`. A delta is never changed once it is made.

import { copyBytes, type OwnedBytes } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import type { Codecs } from '../codec/codec.ts';
import type { DeviceRecord } from '../guest/guest.ts';
import type { Units } from './units.ts';
import { xorInto } from './xor.ts';

/** Pages of one unit, in ascending order. */
export interface DeltaPart {
  readonly unit: number;
  readonly pageBytes: number;
  readonly pages: Uint32Array<ArrayBuffer>;
}

export interface DeltaFrame {
  readonly codec: number;
  readonly bytes: OwnedBytes;
  readonly plainBytes: number;
}

export interface Delta {
  /** By ascending unit. */
  readonly parts: readonly DeltaPart[];
  readonly frames: readonly DeltaFrame[];
  /** What it takes in memory, lists and objects included. */
  readonly sizeBytes: number;
}

/** What the platform needs for an object and its fields, about. */
const OBJECT_BYTES = 64;

/** What a delta of these takes in memory. */
export function sizeOfDelta(parts: readonly DeltaPart[], frames: readonly DeltaFrame[]): number {
  const ofParts = parts.reduce((sum, { pages }) => sum + OBJECT_BYTES + 4 * pages.length, 0);
  return frames.reduce((sum, { bytes }) => sum + OBJECT_BYTES + bytes.length, OBJECT_BYTES + ofParts);
}

/** Called between frames: long work gives the thread back there. */
export type Breathe = () => Promise<void>;

/** Puts pages into frames. They come by ascending unit and page. */
export class DeltaWriter {
  readonly #codecs: Codecs;
  readonly #plain = new Uint8Array(LIMITS.frameBytes);
  readonly #frames: DeltaFrame[] = [];
  readonly #parts: { unit: number; pageBytes: number; pages: number[] }[] = [];
  #used = 0;
  #sizeBytes = OBJECT_BYTES;

  constructor(codecs: Codecs) {
    this.#codecs = codecs;
  }

  /** Bytes of the delta so far. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Adds the XOR of a page. Returns whether a frame was encoded, which is when to breathe. */
  add(unit: number, page: number, bytes: Uint8Array): boolean {
    const isFull = this.#used + bytes.length > this.#plain.length;
    if (isFull) this.#encode();
    let part = this.#parts.at(-1);
    if (part?.unit !== unit) {
      part = { unit, pageBytes: bytes.length, pages: [] };
      this.#parts.push(part);
      this.#sizeBytes += OBJECT_BYTES;
    }
    part.pages.push(page);
    this.#sizeBytes += 4;
    this.#plain.set(bytes, this.#used);
    this.#used += bytes.length;
    return isFull;
  }

  finish(): Delta {
    if (this.#used > 0) this.#encode();
    const parts = this.#parts.map((part) => ({ ...part, pages: Uint32Array.from(part.pages) }));
    return { parts, frames: this.#frames, sizeBytes: this.#sizeBytes };
  }

  #encode(): void {
    const { codec, bytes } = this.#codecs.encodeSmallest(this.#plain.subarray(0, this.#used), 'fast');
    const owned = copyBytes(bytes);
    this.#frames.push({ codec, bytes: owned, plainBytes: this.#used });
    this.#sizeBytes += owned.length + OBJECT_BYTES;
    this.#used = 0;
  }
}

/** Goes through the pages of a delta in their order, one frame decoded at a time. */
export class DeltaReader {
  readonly #delta: Delta;
  readonly #codecs: Codecs;
  #part = 0;
  #index = -1;
  #frame = -1;
  #plain: Uint8Array = new Uint8Array(0);
  #at = 0;
  /** The page at hand; `bytes` is valid until `next`. Not to be looked at before `next` or after it said false. */
  unit = 0;
  page = 0;
  bytes: Uint8Array = this.#plain;

  constructor(delta: Delta, codecs: Codecs) {
    this.#delta = delta;
    this.#codecs = codecs;
  }

  /** How many frames were decoded so far. */
  get framesRead(): number {
    return this.#frame + 1;
  }

  /** Goes to the next page; false at the end. Throws `codec-damaged`, `codec-unknown`. */
  next(): boolean {
    let part = this.#delta.parts[this.#part];
    this.#index++;
    while (part !== undefined && this.#index >= part.pages.length) {
      part = this.#delta.parts[++this.#part];
      this.#index = 0;
    }
    if (part === undefined) return false;
    while (this.#at >= this.#plain.length) this.#decode();
    this.unit = part.unit;
    this.page = part.pages[this.#index]!;
    this.bytes = this.#plain.subarray(this.#at, this.#at + part.pageBytes);
    this.#at += part.pageBytes;
    return true;
  }

  #decode(): void {
    const { codec, bytes, plainBytes } = this.#delta.frames[++this.#frame]!;
    this.#plain = this.#codecs.byId(codec).decode(bytes, plainBytes);
    this.#at = 0;
  }
}

/** Records told from nothing, as a delta. */
export function deltaOfRecords(records: readonly DeviceRecord[], units: Units, codecs: Codecs): Delta {
  const writer = new DeltaWriter(codecs);
  const byUnit = records.map(({ name, bytes }) => ({ ...units.ofRecord(name), bytes }));
  for (const { unit, pageBytes, bytes } of byUnit.sort((a, b) => a.unit - b.unit)) {
    for (let at = 0; at < bytes.length; at += pageBytes) {
      const page = new Uint8Array(pageBytes);
      page.set(bytes.subarray(at, at + pageBytes));
      if (page.some((byte) => byte !== 0)) writer.add(unit, at / pageBytes, page);
    }
  }
  return writer.finish();
}

/** The delta that does what `first` and then `second` do. Pages that end up the same are left out. */
export async function composeDeltas(
  first: Delta,
  second: Delta,
  codecs: Codecs,
  breathe: Breathe,
): Promise<Delta> {
  const writer = new DeltaWriter(codecs);
  const a = new DeltaReader(first, codecs);
  const b = new DeltaReader(second, codecs);
  const scratch = new Uint8Array(LIMITS.maxPageBytes);
  let [hasA, hasB] = [a.next(), b.next()];
  while (hasA || hasB) {
    const order = !hasB ? -1 : !hasA ? 1 : a.unit - b.unit || a.page - b.page;
    let wasEncoded = false;
    if (order === 0) {
      const both = scratch.subarray(0, a.bytes.length);
      both.set(a.bytes);
      if (xorInto(both, b.bytes)) wasEncoded = writer.add(a.unit, a.page, both);
    } else {
      const one = order < 0 ? a : b;
      wasEncoded = writer.add(one.unit, one.page, one.bytes);
    }
    if (order <= 0) hasA = a.next();
    if (order >= 0) hasB = b.next();
    if (wasEncoded) await breathe();
  }
  return writer.finish();
}

/** Pages of a delta, of all units. */
export function pagesIn(delta: Delta): number {
  return delta.parts.reduce((sum, { pages }) => sum + pages.length, 0);
}

/** How many pages two deltas both have. */
export function commonPages(first: Delta, second: Delta): number {
  let common = 0;
  for (const { unit, pages } of first.parts) {
    const others = second.parts.find((part) => part.unit === unit)?.pages;
    if (others === undefined) continue;
    for (let a = 0, b = 0; a < pages.length && b < others.length; ) {
      const order = pages[a]! - others[b]!;
      if (order === 0) common++;
      if (order <= 0) a++;
      if (order >= 0) b++;
    }
  }
  return common;
}

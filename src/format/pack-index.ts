// The index of a pack: its frames, and its objects in ascending order of their digests. It lies at the end of the pack
// and, where that is large, byte for byte the same under a key of its own, so that a store opens by reading little.
//
// Columns of fixed width, not varints: 40 bytes an object (48 fill, 72 xor) of which 32 are digest, and digests do
// not shrink; in return nothing is unpacked, and reading one costs no more than its checksum.
//
// | Size   | Field                                                                              |
// |--------|------------------------------------------------------------------------------------|
// | 20     | prefix                                                                             |
// | 4 × 4  | counts: frames F, objects N, fill objects P, xor objects X                         |
// | 16 × F | frame: length u32, plain length u32, CRC-32C u32, codec u8, three zero bytes       |
// | 32 × N | digest                                                                             |
// | 8 × N  | place: flags u8, frame u24, offset in it u16, length - 1 u16                       |
// | 8 × P  | pattern, in the order of the objects                                               |
// | 32 × X | digest of the base, in the order of the objects                                    |
// | 4      | CRC-32C                                                                            |
//
// Flags: bits 0–1 kind (1 page, 2 node), bits 2–3 transform (1 plain, 2 fill, 3 xor), bits 4–7 depth of xor.

import { assert } from '../base/assert.ts';
import { ByteReader } from '../base/byte-reader.ts';
import type { OwnedBytes } from '../base/bytes.ts';
import { checkIndex } from './check-index.ts';
import { compareDigests, DIGEST_BYTES, type Digest } from './digest.ts';
import {
  type FrameEntry,
  type ObjectEntry,
  type ObjectKind,
  PATTERN_BYTES,
  type Transform,
} from './pack-entry.ts';
import { FRAME_BYTES, type IndexLayout, indexLayout, OPENING_BYTES, PLACE_BYTES } from './pack-layout.ts';
import { CHECKSUM_BYTES, openRecord, PREFIX_BYTES, sealRecord } from './prefix.ts';

export const OBJECT_KINDS = ['page', 'node'] as const satisfies ObjectKind[];
/** Numbers below it go beside 32 bits into one that is exact. */
const MOST_ORDERED = 2 ** 21;
export const TRANSFORMS = ['plain', 'fill', 'xor'] as const satisfies Transform[];

/** The frames and objects of one pack, read in place from the index's bytes. */
export class PackIndex {
  /** The index as it was read: what is stored under its own key. */
  readonly bytes: OwnedBytes;
  /** Objects. */
  readonly count: number;
  readonly frameCount: number;
  /** All digests, 32 bytes each, ascending. In place: not to be written to. */
  readonly digests: OwnedBytes;
  readonly #layout: IndexLayout;
  readonly #view: DataView;
  /** Where each frame starts in the pack, and at the end where the index does. */
  readonly #frameOffsets: Float64Array;
  /** For a fill or xor object its number among those. */
  readonly #ranks: Uint32Array;

  /** Of bytes that passed `checkIndex`; use `decodeIndex`. */
  constructor(bytes: OwnedBytes, layout: IndexLayout) {
    this.bytes = bytes;
    this.count = layout.objectCount;
    this.frameCount = layout.frameCount;
    this.#layout = layout;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.digests = bytes.subarray(layout.digestsAt, layout.placesAt);
    this.#frameOffsets = new Float64Array(this.frameCount + 1);
    let at = OPENING_BYTES;
    for (let frame = 0; frame < this.frameCount; frame++) {
      this.#frameOffsets[frame] = at;
      at += this.#view.getUint32(layout.framesAt + frame * FRAME_BYTES, true);
    }
    this.#frameOffsets[this.frameCount] = at;
    this.#ranks = new Uint32Array(this.count);
    let fills = 0;
    let xors = 0;
    for (let entry = 0; entry < this.count; entry++) {
      const transform = this.transformAt(entry);
      if (transform === 'fill') this.#ranks[entry] = fills++;
      else if (transform === 'xor') this.#ranks[entry] = xors++;
    }
  }

  /** Where the index starts in its pack: right behind the last frame. */
  get offsetInPack(): number {
    return this.#frameOffsets[this.frameCount]!;
  }

  /** The digest of an object, as a copy. */
  digestAt(entry: number): Digest {
    return this.digests.slice(entry * DIGEST_BYTES, (entry + 1) * DIGEST_BYTES);
  }

  kindAt(entry: number): ObjectKind {
    // Safe: checkIndex refused every other value.
    return OBJECT_KINDS[(this.#flags(entry) & 3) - 1]!;
  }

  transformAt(entry: number): Transform {
    // Safe: checkIndex refused every other value.
    return TRANSFORMS[((this.#flags(entry) >>> 2) & 3) - 1]!;
  }

  /** Deltas to undo for an xor object, 0 for others. */
  depthAt(entry: number): number {
    return this.#flags(entry) >>> 4;
  }

  /** Bytes of an object's content. */
  lengthAt(entry: number): number {
    return this.#view.getUint16(this.#place(entry) + 6, true) + 1;
  }

  /** The frame that holds the payload of a plain or xor object. */
  frameAt(entry: number): number {
    return this.#view.getUint32(this.#place(entry), true) >>> 8;
  }

  /** Where the payload starts in the decoded frame. */
  offsetAt(entry: number): number {
    return this.#view.getUint16(this.#place(entry) + 4, true);
  }

  /** The base of an xor object, as a copy. */
  baseAt(entry: number): Digest {
    assert(this.transformAt(entry) === 'xor', 'an xor object has a base');
    const at = this.#layout.basesAt + this.#ranks[entry]! * DIGEST_BYTES;
    return this.bytes.slice(at, at + DIGEST_BYTES);
  }

  /** All there is to know of one object. */
  entry(entry: number): ObjectEntry {
    assert(entry >= 0 && entry < this.count, 'an entry lies in its index');
    const digest = this.digestAt(entry);
    const kind = this.kindAt(entry);
    const lengthBytes = this.lengthAt(entry);
    const transform = this.transformAt(entry);
    if (transform === 'fill') {
      const at = this.#layout.patternsAt + this.#ranks[entry]! * PATTERN_BYTES;
      return { digest, kind, lengthBytes, transform, pattern: this.bytes.slice(at, at + PATTERN_BYTES) };
    }
    const placed = { frame: this.frameAt(entry), offsetBytes: this.offsetAt(entry) };
    if (transform === 'plain') return { digest, kind, lengthBytes, transform, ...placed };
    const depth = this.depthAt(entry);
    return { digest, kind, lengthBytes, transform, ...placed, base: this.baseAt(entry), depth };
  }

  /** All there is to know of one frame. */
  frame(frame: number): FrameEntry {
    assert(frame >= 0 && frame < this.frameCount, 'a frame lies in its index');
    const at = this.#layout.framesAt + frame * FRAME_BYTES;
    return {
      lengthBytes: this.#view.getUint32(at, true),
      plainLengthBytes: this.#view.getUint32(at + 4, true),
      checksum: this.#view.getUint32(at + 8, true),
      codec: this.#view.getUint8(at + 12),
    };
  }

  /** Where a frame starts in the pack. */
  frameOffsetAt(frame: number): number {
    assert(frame >= 0 && frame < this.frameCount, 'a frame lies in its index');
    return this.#frameOffsets[frame]!;
  }

  /** The codecs that its frames need, each once. */
  codecIds(): number[] {
    const ids = new Set<number>();
    for (let frame = 0; frame < this.frameCount; frame++) ids.add(this.frame(frame).codec);
    return [...ids];
  }

  /** The entry of the object with the digest at `offset`, or -1. */
  find(digest: Uint8Array, offset = 0): number {
    let low = 0;
    let high = this.count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const order = compareDigests(this.digests, digest, middle * DIGEST_BYTES, offset);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  #place(entry: number): number {
    return this.#layout.placesAt + entry * PLACE_BYTES;
  }

  #flags(entry: number): number {
    return this.#view.getUint8(this.#place(entry));
  }
}

/** The bytes of the index over these frames, in pack order, and objects, in any order but each digest once. */
export function encodeIndex(frames: readonly FrameEntry[], objects: readonly ObjectEntry[]): OwnedBytes {
  const sorted = inOrder(objects);
  const fills = sorted.filter((one) => one.transform === 'fill');
  const xors = sorted.filter((one) => one.transform === 'xor');
  return sealRecord('pack index', (writer) => {
    writer.u32(frames.length);
    writer.u32(sorted.length);
    writer.u32(fills.length);
    writer.u32(xors.length);
    for (const frame of frames) {
      writer.u32(frame.lengthBytes);
      writer.u32(frame.plainLengthBytes);
      writer.u32(frame.checksum);
      writer.u32(frame.codec);
    }
    for (const one of sorted) writer.bytes(one.digest);
    for (const one of sorted) {
      const depth = one.transform === 'xor' ? one.depth : 0;
      const kind = OBJECT_KINDS.indexOf(one.kind) + 1;
      const transform = TRANSFORMS.indexOf(one.transform) + 1;
      const [frame, offset] = one.transform === 'fill' ? [0, 0] : [one.frame, one.offsetBytes];
      writer.u32(frame * 256 + (kind | (transform << 2) | (depth << 4)));
      writer.u16(offset);
      writer.u16(one.lengthBytes - 1);
    }
    for (const one of fills) writer.bytes(one.pattern);
    for (const one of xors) writer.bytes(one.base);
  });
}

/**
 * Objects in ascending order of their digests. By numbers of their first 32 bits first, which hardly ever are the same: a large pack
 * has as many objects as take a second to be compared one by one.
 */
function inOrder(objects: readonly ObjectEntry[]): ObjectEntry[] {
  if (objects.length >= MOST_ORDERED) return [...objects].sort(byDigest);
  const keys = new Float64Array(objects.length);
  for (const [at, { digest }] of objects.entries()) keys[at] = firstWord(digest) * MOST_ORDERED + at;
  const sorted = Array.from(keys.sort(), (key) => objects[key % MOST_ORDERED]!);
  for (let first = 0; first < sorted.length; ) {
    let end = first + 1;
    const word = firstWord(sorted[first]!.digest);
    while (end < sorted.length && firstWord(sorted[end]!.digest) === word) end++;
    if (end > first + 1) {
      const same = sorted.slice(first, end).sort(byDigest);
      sorted.splice(first, same.length, ...same);
    }
    first = end;
  }
  return sorted;
}

function byDigest(a: ObjectEntry, b: ObjectEntry): number {
  return compareDigests(a.digest, b.digest);
}

function firstWord(digest: Digest): number {
  return ((digest[0]! << 24) | (digest[1]! << 16) | (digest[2]! << 8) | digest[3]!) >>> 0;
}

/** The index of bytes that `encodeIndex` gave just now: it is not checked again. */
export function ownIndex(bytes: OwnedBytes): PackIndex {
  const end = bytes.length - CHECKSUM_BYTES;
  return new PackIndex(bytes, indexLayout(new ByteReader(bytes, 'pack index', PREFIX_BYTES, end)));
}

/**
 * The index that bytes hold, read in place: they must not change while it is in use.
 *
 * Total: for bytes that are not an index it throws a `format-*` code and nothing else.
 */
export function decodeIndex(bytes: OwnedBytes): PackIndex {
  const layout = indexLayout(openRecord(bytes, 'pack index', 2 ** 32 - 1));
  checkIndex(bytes, layout);
  return new PackIndex(bytes, layout);
}

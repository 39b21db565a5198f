// Builds one pack: objects are gathered into frames of up to 64 KiB, each frame is encoded when it is full, and
// `finish` puts the index and the footer behind them.
//
// Pages and nodes fill frames of their own, so that walking a table decodes no pages. Everything given is copied
// at once: callers may reuse their arrays. A digest that the pack has already is passed over.

import { assert } from '../base/assert.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import { concatBytes, copyBytes, type OwnedBytes } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import { crc32c } from './crc32c.ts';
import { DIGEST_BYTES, type Digest, type DigestFunction, digestKey } from './digest.ts';
import type { Effort, FrameCodecs } from './frame-codecs.ts';
import {
  type FrameEntry,
  type ObjectEntry,
  type ObjectKind,
  PATTERN_BYTES,
  type XorEntry,
  xorInto,
} from './pack-entry.ts';
import { encodeFooter } from './pack-footer.ts';
import { decodeIndex, encodeIndex, type PackIndex } from './pack-index.ts';
import { FOOTER_BYTES, FRAME_BYTES, indexLengthBytes, OPENING_BYTES, PLACE_BYTES } from './pack-layout.ts';
import { writeOpening } from './prefix.ts';

export interface PackWriterOptions {
  readonly codecs: FrameCodecs;
  readonly effort: Effort;
  /** BLAKE3-256; names the pack. */
  readonly digest: DigestFunction;
}

/** An object to be written: its digest and its content, at most 64 KiB. */
export interface NewObject {
  readonly digest: Uint8Array;
  readonly kind: ObjectKind;
  readonly bytes: Uint8Array;
}

/** The object that a delta is against. */
export interface DeltaBase {
  readonly digest: Uint8Array;
  readonly bytes: Uint8Array;
  /** Deltas to undo to get at it: 0 when it is stored plain or as fill. */
  readonly depth: number;
}

export interface FinishedPack {
  readonly name: Digest;
  readonly bytes: OwnedBytes;
  /** `index.bytes` is what a store keeps under the index's own key. */
  readonly index: PackIndex;
}

/** A frame that is being filled. */
class OpenFrame {
  readonly bytes: OwnedBytes = new Uint8Array(LIMITS.frameBytes);
  length = 0;
  entries: Exclude<ObjectEntry, { transform: 'fill' }>[] = [];
}

/** Of `lengthBytes` bytes as many may differ from the base for `addSmaller` to choose the delta: three quarters. */
const WORTHWHILE_DIFFERENCE = 3 / 4;

/** What the largest entry, a delta's, takes in an index. */
const MAX_ENTRY_BYTES = DIGEST_BYTES + PLACE_BYTES + DIGEST_BYTES;

export class PackWriter {
  readonly #options: PackWriterOptions;
  readonly #known = new Set<string>();
  readonly #objects: ObjectEntry[] = [];
  readonly #frames: FrameEntry[] = [];
  readonly #parts: OwnedBytes[] = [opening()];
  readonly #open: Record<ObjectKind, OpenFrame> = { page: new OpenFrame(), node: new OpenFrame() };
  #closedBytes = OPENING_BYTES;
  #plainBytes = 0;
  #fillCount = 0;
  #xorCount = 0;
  #isFinished = false;

  constructor(options: PackWriterOptions) {
    this.#options = options;
  }

  /** Content of all objects. */
  get plainBytes(): number {
    return this.#plainBytes;
  }

  /** What `finish` would give at most: frames that are still open count as they are, before encoding. */
  get encodedBytes(): number {
    const open = this.#open.page.length + this.#open.node.length;
    const index = indexLengthBytes({
      frames: this.#frames.length + 2,
      objects: this.#known.size,
      fills: this.#fillCount,
      xors: this.#xorCount,
    });
    return this.#closedBytes + open + index + FOOTER_BYTES;
  }

  get objectCount(): number {
    return this.#known.size;
  }

  has(digest: Uint8Array): boolean {
    return this.#known.has(digestKey(digest));
  }

  /** Whether one more object of that length surely keeps the pack within `LIMITS.packBytes`. */
  hasRoomFor(lengthBytes: number): boolean {
    return this.encodedBytes + lengthBytes + FRAME_BYTES + MAX_ENTRY_BYTES <= LIMITS.packBytes;
  }

  /** Adds an object whose payload is its content. */
  addPlain(object: NewObject): void {
    if (!this.#learn(object.digest, object.bytes.length)) return;
    this.#place(object.kind, object.bytes, (frame, offsetBytes) => ({
      digest: copyBytes(object.digest),
      kind: object.kind,
      lengthBytes: object.bytes.length,
      transform: 'plain',
      frame,
      offsetBytes,
    }));
  }

  /** Adds an object that repeats an 8-byte pattern; it takes no room outside the index. */
  addFill(object: {
    readonly digest: Uint8Array;
    readonly kind: ObjectKind;
    readonly lengthBytes: number;
    readonly pattern: Uint8Array;
  }): void {
    const { kind, lengthBytes } = object;
    assert(object.pattern.length === PATTERN_BYTES, 'a pattern has 8 bytes');
    assert(lengthBytes % PATTERN_BYTES === 0, 'a pattern fills its object');
    if (!this.#learn(object.digest, lengthBytes)) return;
    this.#fillCount++;
    this.#objects.push({
      digest: copyBytes(object.digest),
      kind,
      lengthBytes,
      transform: 'fill',
      pattern: copyBytes(object.pattern),
    });
  }

  /** Adds an object as the exclusive-or with a base of the same length, of depth below `LIMITS.maxDeltaDepth`. */
  addXor(object: NewObject & { readonly base: DeltaBase }): void {
    const { kind, base } = object;
    const lengthBytes = object.bytes.length;
    assert(base.bytes.length === lengthBytes, 'a base is as long as its delta');
    assert(base.depth < LIMITS.maxDeltaDepth, 'a chain of deltas is bounded');
    if (!this.#learn(object.digest, lengthBytes)) return;
    this.#xorCount++;
    const entry: Omit<XorEntry, 'frame' | 'offsetBytes'> = {
      digest: copyBytes(object.digest),
      kind,
      lengthBytes,
      transform: 'xor',
      base: copyBytes(base.digest),
      depth: base.depth + 1,
    };
    const payload = this.#place(kind, object.bytes, (frame, offsetBytes) => ({
      ...entry,
      frame,
      offsetBytes,
    }));
    xorInto(payload, base.bytes);
  }

  /** Adds an object as a delta where the chain allows one and at least a quarter of its bytes are the base's. */
  addSmaller(object: NewObject & { readonly base: DeltaBase }): 'plain' | 'xor' {
    const { bytes, base } = object;
    const isWorthwhile =
      base.depth < LIMITS.maxDeltaDepth &&
      base.bytes.length === bytes.length &&
      countDifferent(bytes, base.bytes) <= bytes.length * WORTHWHILE_DIFFERENCE;
    if (isWorthwhile) this.addXor(object);
    else this.addPlain(object);
    return isWorthwhile ? 'xor' : 'plain';
  }

  /** Ends the pack. The writer is of no use afterwards. */
  finish(): FinishedPack {
    assert(!this.#isFinished, 'a pack is finished once');
    this.#isFinished = true;
    this.#close('page');
    this.#close('node');
    const indexBytes = encodeIndex(this.#frames, this.#objects);
    const index = decodeIndex(indexBytes);
    const footer = encodeFooter({ offsetBytes: this.#closedBytes, lengthBytes: indexBytes.length });
    const bytes = concatBytes([...this.#parts, indexBytes, footer]);
    return { name: this.#options.digest(bytes), bytes, index };
  }

  /** Notes a new digest; false when the pack has it. */
  #learn(digest: Uint8Array, lengthBytes: number): boolean {
    assert(!this.#isFinished, 'a finished pack takes no objects');
    assert(digest.length === DIGEST_BYTES, 'a digest has 32 bytes');
    assert(lengthBytes > 0 && lengthBytes <= LIMITS.frameBytes, 'an object fits a frame');
    const key = digestKey(digest);
    if (this.#known.has(key)) return false;
    this.#known.add(key);
    this.#plainBytes += lengthBytes;
    return true;
  }

  /** Copies a payload into the open frame of its kind and returns it there. */
  #place(
    kind: ObjectKind,
    payload: Uint8Array,
    describe: (frame: number, offsetBytes: number) => Exclude<ObjectEntry, { transform: 'fill' }>,
  ): OwnedBytes {
    if (this.#open[kind].length + payload.length > LIMITS.frameBytes) this.#close(kind);
    const open = this.#open[kind];
    // The frame's number is known when it closes: until then entries count from zero.
    open.entries.push(describe(0, open.length));
    const place = open.bytes.subarray(open.length, open.length + payload.length);
    place.set(payload);
    open.length += payload.length;
    return place;
  }

  #close(kind: ObjectKind): void {
    const open = this.#open[kind];
    if (open.length === 0) return;
    const frame = this.#frames.length;
    const encoded = this.#options.codecs.encodeSmallest(
      open.bytes.subarray(0, open.length),
      this.#options.effort,
    );
    assert(encoded.bytes.length <= open.length, 'a frame never grows');
    this.#frames.push({
      codec: encoded.codec,
      lengthBytes: encoded.bytes.length,
      plainLengthBytes: open.length,
      checksum: crc32c(encoded.bytes),
    });
    for (const entry of open.entries) this.#objects.push({ ...entry, frame });
    this.#parts.push(encoded.bytes);
    this.#closedBytes += encoded.bytes.length;
    open.entries = [];
    open.length = 0;
  }
}

function opening(): OwnedBytes {
  const writer = new ByteWriter();
  writeOpening(writer, 'pack');
  return writer.finish();
}

/** How many bytes differ; four at a time where both are aligned, since most of a page is as it was. */
function countDifferent(a: Uint8Array, b: Uint8Array): number {
  let count = 0;
  let done = 0;
  if (a.byteOffset % 4 === 0 && b.byteOffset % 4 === 0) {
    const words = a.length >>> 2;
    const ofA = new Uint32Array(a.buffer, a.byteOffset, words);
    const ofB = new Uint32Array(b.buffer, b.byteOffset, words);
    for (let i = 0; i < words; i++) {
      if (ofA[i] === ofB[i]) continue;
      for (let byte = 4 * i; byte < 4 * i + 4; byte++) if (a[byte] !== b[byte]) count++;
    }
    done = 4 * words;
  }
  for (let i = done; i < a.length; i++) if (a[i] !== b[i]) count++;
  return count;
}

// Builds one pack: objects are gathered into frames of up to 64 KiB, each frame is encoded when it is full, and
// `finish` puts the index and the footer behind them.
//
// Pages and nodes fill frames of their own, so that walking a table decodes no pages. Everything given is copied
// at once: callers may reuse their arrays. A digest that the pack has already is passed over.

import { assert } from '../base/assert.ts';
import { concatBytes, copyBytes, type OwnedBytes } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import { crc32c } from './crc32c.ts';
import { DIGEST_BYTES, type Digest, type DigestFunction } from './digest.ts';
import { DigestSet } from './digest-set.ts';
import type { Effort, FrameCodecs } from './frame-codecs.ts';
import {
  type FrameEntry,
  type ObjectEntry,
  type ObjectKind,
  PATTERN_BYTES,
  type PlainEntry,
  type XorEntry,
  xorContent,
} from './pack-entry.ts';
import { encodeFooter } from './pack-footer.ts';
import { encodeIndex, ownIndex, type PackIndex } from './pack-index.ts';
import { FOOTER_BYTES, FRAME_BYTES, indexLengthBytes, OPENING_BYTES, PLACE_BYTES } from './pack-layout.ts';
import { openingOf } from './prefix.ts';

export interface PackWriterOptions {
  readonly codecs: FrameCodecs;
  readonly effort: Effort;
  /** BLAKE3-256; names the pack. */
  readonly digest: DigestFunction;
  /** Tells contents apart for `addSmaller`; plain TypeScript when left out. */
  readonly delta?: DeltaFunction;
}

/** `bytes` exclusive-or `base`, of one length: valid until the next call; and how many bytes differ. */
export type DeltaFunction = (
  bytes: Uint8Array,
  base: Uint8Array,
) => { readonly payload: Uint8Array; readonly different: number };

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

/** A pack that is not put together yet: its bytes are these parts, one after another. */
export interface AssembledPack {
  readonly parts: readonly OwnedBytes[];
  readonly index: PackIndex;
}

export interface FinishedPack {
  readonly name: Digest;
  readonly bytes: OwnedBytes;
  /** `index.bytes` is what a store keeps under a key of its own, where the pack is large. */
  readonly index: PackIndex;
}

/** An entry whose frame is not closed yet. */
type PlacedEntry = (PlainEntry | XorEntry) & { frame: number };

/** A frame that is being filled. */
class OpenFrame {
  readonly bytes: OwnedBytes = new Uint8Array(LIMITS.frameBytes);
  length = 0;
  entries: PlacedEntry[] = [];
}

/** Of `lengthBytes` bytes as many may differ from the base for `addSmaller` to choose the delta: three quarters. */
const WORTHWHILE_DIFFERENCE = 3 / 4;

/** Whether a delta is kept of bytes of which so many are not their base's. */
export function isWorthwhileDelta(different: number, lengthBytes: number): boolean {
  return different <= lengthBytes * WORTHWHILE_DIFFERENCE;
}

/** What the largest entry, a delta's, takes in an index. */
const MAX_ENTRY_BYTES = DIGEST_BYTES + PLACE_BYTES + DIGEST_BYTES;

export class PackWriter {
  readonly #options: PackWriterOptions;
  readonly #known = new DigestSet();
  readonly #objects: ObjectEntry[] = [];
  readonly #frames: FrameEntry[] = [];
  readonly #parts: OwnedBytes[] = [openingOf('pack')];
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
    return this.#known.has(digest);
  }

  /** Whether one more object of that length surely keeps the pack within `LIMITS.packBytes`. */
  hasRoomFor(lengthBytes: number): boolean {
    return this.encodedBytes + lengthBytes + FRAME_BYTES + MAX_ENTRY_BYTES <= LIMITS.packBytes;
  }

  /** Adds an object whose payload is its content. */
  addPlain(object: NewObject): void {
    if (!this.#learn(object.digest, object.bytes.length)) return;
    const { kind } = object;
    this.#describe(kind, {
      digest: copyBytes(object.digest),
      kind,
      lengthBytes: object.bytes.length,
      transform: 'plain',
      frame: 0,
      offsetBytes: this.#place(kind, object.bytes),
    });
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
    const { base } = object;
    assert(base.bytes.length === object.bytes.length, 'a base is as long as its delta');
    assert(base.depth < LIMITS.maxDeltaDepth, 'a chain of deltas is bounded');
    this.#addDelta(object, this.#delta(object.bytes, base.bytes).payload);
  }

  /** Adds an object as a delta where the chain allows one and at least a quarter of its bytes are the base's. */
  addSmaller(object: NewObject & { readonly base: DeltaBase }): 'plain' | 'xor' {
    const { bytes, base } = object;
    if (base.depth < LIMITS.maxDeltaDepth && base.bytes.length === bytes.length) {
      const { payload, different } = this.#delta(bytes, base.bytes);
      if (isWorthwhileDelta(different, bytes.length)) {
        this.#addDelta(object, payload);
        return 'xor';
      }
    }
    this.addPlain(object);
    return 'plain';
  }

  /** Ends the pack. The writer is of no use afterwards. */
  finish(): FinishedPack {
    const { parts, index } = this.assemble();
    const bytes = concatBytes(parts);
    return { name: this.#options.digest(bytes), bytes, index };
  }

  /** As `finish`, for whoever puts it together and names it elsewhere. */
  assemble(): AssembledPack {
    assert(!this.#isFinished, 'a pack is finished once');
    this.#isFinished = true;
    this.#close('page');
    this.#close('node');
    const indexBytes = encodeIndex(this.#frames, this.#objects);
    const index = ownIndex(indexBytes);
    const footer = encodeFooter({ offsetBytes: this.#closedBytes, lengthBytes: indexBytes.length });
    return { parts: [...this.#parts, indexBytes, footer], index };
  }

  #delta(bytes: Uint8Array, base: Uint8Array): ReturnType<DeltaFunction> {
    return (this.#options.delta ?? plainDelta)(bytes, base);
  }

  #addDelta({ digest, kind, base }: NewObject & { readonly base: DeltaBase }, payload: Uint8Array): void {
    if (!this.#learn(digest, payload.length)) return;
    this.#xorCount++;
    this.#describe(kind, {
      digest: copyBytes(digest),
      kind,
      lengthBytes: payload.length,
      transform: 'xor',
      base: copyBytes(base.digest),
      depth: base.depth + 1,
      frame: 0,
      offsetBytes: this.#place(kind, payload),
    });
  }

  /** Notes a new digest; false when the pack has it. */
  #learn(digest: Uint8Array, lengthBytes: number): boolean {
    assert(!this.#isFinished, 'a finished pack takes no objects');
    assert(digest.length === DIGEST_BYTES, 'a digest has 32 bytes');
    assert(lengthBytes > 0 && lengthBytes <= LIMITS.frameBytes, 'an object fits a frame');
    if (!this.#known.add(digest)) return false;
    this.#plainBytes += lengthBytes;
    return true;
  }

  /** Copies a payload into the open frame of its kind; answers with its offset there. */
  #place(kind: ObjectKind, payload: Uint8Array): number {
    if (this.#open[kind].length + payload.length > LIMITS.frameBytes) this.#close(kind);
    const open = this.#open[kind];
    const offsetBytes = open.length;
    open.bytes.set(payload, offsetBytes);
    open.length += payload.length;
    return offsetBytes;
  }

  /** Notes what was placed last. The frame's number is known when it closes. */
  #describe(kind: ObjectKind, entry: PlacedEntry): void {
    this.#open[kind].entries.push(entry);
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
    for (const entry of open.entries) {
      entry.frame = frame;
      this.#objects.push(entry);
    }
    this.#parts.push(copyBytes(encoded.bytes));
    this.#closedBytes += encoded.bytes.length;
    open.entries = [];
    open.length = 0;
  }
}

/** As kernels do it, a byte at a time. */
function plainDelta(bytes: Uint8Array, base: Uint8Array): ReturnType<DeltaFunction> {
  const payload = xorContent(bytes, base);
  let different = 0;
  for (let i = 0; i < payload.length; i++) if (payload[i] !== 0) different++;
  return { payload, different };
}

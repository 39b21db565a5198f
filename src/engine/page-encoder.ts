// The PageEncoder port: other threads that digest and encode the pages of a large save, while this one reads the next ones and
// hands packs to the store; and that decode what a large restore reads. An engine without one does all by itself.

import type { OwnedBytes } from '../base/bytes.ts';
import type { Digest } from '../format/digest.ts';
import type { Effort } from '../format/frame-codecs.ts';
import type { FrameEntry } from '../format/pack-entry.ts';
import type { PageFile, SharedPages } from '../tracking/tracker.ts';

/** Pages to be looked at: their bytes, one after another, or places in memory that other threads see. */
export type PagesAtHand =
  | { readonly kind: 'own'; readonly bytes: OwnedBytes }
  | { readonly kind: 'shared'; readonly places: SharedPages; readonly pages: Uint32Array };

/** Pages to be read first, each as the file has it then: at most a MiB. */
export interface PagesInFile {
  readonly kind: 'file';
  readonly file: PageFile;
  readonly pages: Uint32Array;
}

/** What some of the pages held before: page `i` of `bytes` is what page `of[i]` of theirs held. `of` ascends. */
export interface PagesBefore {
  readonly bytes: OwnedBytes;
  readonly of: Uint32Array;
}

export interface InspectedPages {
  /** The pages, given back, or where they were read to. */
  readonly at: PagesAtHand;
  /** 32 bytes a page. */
  readonly digests: OwnedBytes;
  /** By index: the 8 bytes that a page repeats. */
  readonly patterns: ReadonlyMap<number, OwnedBytes>;
  /** What was given, given back, and for each of those pages how many of its bytes are others now. */
  readonly past?: PagesBefore & { readonly different: Uint32Array };
}

/** Memory that other threads see, as much as a pack takes. One of them writes at a time. */
export type PackMemory = Uint8Array;

/** Where in it the next frame is to lie. */
export interface PackPlace {
  readonly memory: PackMemory;
  readonly offsetBytes: number;
}

export interface EncodedPages {
  /** The pages, given back. */
  readonly at: PagesAtHand;
  /** What the index says of the frames, which lie one after another from that place on. */
  readonly frames: readonly FrameEntry[];
}

/** Where a frame lies among bytes that were read, and what its index says of it. */
export interface FramePlace {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly codec: number;
  readonly plainLengthBytes: number;
  readonly checksum: number;
  /** The length of what it holds, a page’s, where digests of that are wanted, too; 0 where not. */
  readonly pageBytes: number;
}

export interface DecodedFrame {
  readonly bytes: OwnedBytes;
  /** 32 bytes a page; absent where none were wanted, or it is no whole number of pages. */
  readonly digests?: OwnedBytes;
}

export interface PageEncoder {
  /** Batches that are worth having under way. */
  readonly lanes: number;
  /** With fewer pages to save than these, threads take longer to hear of them than they save. */
  readonly fewestPages: number;
  /** Whether it has the codecs that an effort tries. */
  takes(effort: Effort): boolean;
  /**
   * As `Digester.inspectPages`. Takes bytes of ours away until it has answered. Throws `worker-lost`, and of a file `guest-failed` and
   * `memory-exhausted`.
   */
  inspect(at: PagesAtHand | PagesInFile, pageBytes: number, past?: PagesBefore): Promise<InspectedPages>;
  /** Takes back memory that pages of a file were read to, which nobody reads any more; of other pages there is none. */
  release(at: PagesAtHand): void;
  /** Memory for a pack, with anything in it. Throws `memory-exhausted`. */
  takeMemory(): PackMemory;
  /** Takes back memory that nobody will read or write. What is not given back goes when nobody has it any more. */
  giveBack(memory: PackMemory): void;
  /**
   * Makes frames of some of the pages, in order, each of them full: `pages` are indices, a whole number of frames of them, for which
   * there is room even if none becomes smaller. Takes bytes of ours away until it has answered. Throws `worker-lost`.
   */
  encode(
    at: PagesAtHand,
    pageBytes: number,
    pages: Uint32Array,
    effort: Effort,
    into: PackPlace,
  ): Promise<EncodedPages>;
  /** The digest of the first bytes of such memory. Throws `worker-lost`. */
  digest(memory: PackMemory, lengthBytes: number): Promise<Digest>;
  /** Whether it has that codec. */
  decodes(codec: number): boolean;
  /**
   * The contents of frames, each with its checksum right. The bytes stay. Throws `format-checksum`, `codec-damaged`,
   * `worker-lost`.
   */
  decode(bytes: OwnedBytes, frames: readonly FramePlace[]): Promise<readonly DecodedFrame[]>;
}

/** The bytes of one of the pages, in place. */
export function pageAt(at: PagesAtHand, pageBytes: number, index: number): Uint8Array {
  if (at.kind === 'own') return at.bytes.subarray(index * pageBytes, (index + 1) * pageBytes);
  const { buffer, atBytes } = at.places;
  return new Uint8Array(buffer, atBytes + at.pages[index]! * pageBytes, pageBytes);
}

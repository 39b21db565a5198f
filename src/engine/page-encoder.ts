// The PageEncoder port: other threads that digest and encode the pages of a large save, while this one reads the next ones and
// hands packs to the store; and that decode what a large restore reads. An engine without one does all by itself.

import type { OwnedBytes } from '../base/bytes.ts';
import type { Effort, EncodedFrame } from '../format/frame-codecs.ts';

export interface InspectedPages {
  /** The pages, given back. */
  readonly bytes: OwnedBytes;
  /** 32 bytes a page. */
  readonly digests: OwnedBytes;
  /** By index: the 8 bytes that a page repeats. */
  readonly patterns: ReadonlyMap<number, OwnedBytes>;
}

/** A frame of pages as it lies in a pack. */
export interface PageFrame extends EncodedFrame {
  readonly plainLengthBytes: number;
  readonly checksum: number;
}

/** Where a frame lies among bytes that were read, and what its index says of it. */
export interface FramePlace {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly codec: number;
  readonly plainLengthBytes: number;
  readonly checksum: number;
}

export interface PageEncoder {
  /** Batches that are worth having under way. */
  readonly lanes: number;
  /** With fewer pages to save than these, threads take longer to hear of them than they save. */
  readonly fewestPages: number;
  /** Whether it has the codecs that an effort tries. */
  takes(effort: Effort): boolean;
  /** As `Digester.inspectPages`. Takes the bytes away until it has answered. Throws `worker-lost`. */
  inspect(bytes: OwnedBytes, pageBytes: number): Promise<InspectedPages>;
  /**
   * Frames of some of the pages, in order, each of them full: `pages` are indices, a whole number of frames of them. Takes the
   * bytes away for good. Throws `worker-lost`.
   */
  encode(
    bytes: OwnedBytes,
    pageBytes: number,
    pages: Uint32Array,
    effort: Effort,
  ): Promise<readonly PageFrame[]>;
  /** Whether it has that codec. */
  decodes(codec: number): boolean;
  /**
   * The contents of frames, each with its checksum right. The bytes stay. Throws `format-checksum`, `codec-damaged`,
   * `worker-lost`.
   */
  decode(bytes: OwnedBytes, frames: readonly FramePlace[]): Promise<readonly OwnedBytes[]>;
}

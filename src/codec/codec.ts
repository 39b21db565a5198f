// The Codec port: a way to write a frame smaller. A codec takes up to 64 KiB and gives them back exactly.
//
// To add one: a file with a loader, a row in `load.ts` with the next free id, a row in the format's SPEC.md,
// fixtures beside the old ones. Ids are append-only; 0 is never valid.

import type { OwnedBytes } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import type { Effort, EncodedFrame, FrameCodecs } from '../format/frame-codecs.ts';

/** No encoding of a frame is longer: LZ4 adds at most one byte in 255 and 16, zstd one in 256 and 32. */
export const MAX_ENCODED_BYTES = LIMITS.frameBytes + LIMITS.frameBytes / 128;

export interface Codec {
  readonly id: number;
  readonly name: string;

  /**
   * The encoded bytes, which may be more than were given; undefined for bytes of a kind that the codec is not for. Valid until the
   * codec's next call.
   */
  encode(bytes: Uint8Array, effort: Effort): Uint8Array | undefined;

  /**
   * Exactly `plainLength` bytes, at most a frame's.
   *
   * Never allocates more than they and `bytes` account for. Throws `codec-damaged` for bytes that are not the
   * encoding of so many; the codec is good for further use.
   */
  decode(bytes: Uint8Array, plainLength: number): OwnedBytes;
}

export interface Codecs extends FrameCodecs {
  /** Throws `codec-unknown` when no codec has that id, `wrong-state` when it was not prepared. */
  byId(id: number): Codec;

  /**
   * The smallest encoding of those an effort tries, or a good one: `bytes` themselves where none is smaller. Valid until the next call.
   * Throws `wrong-state` when they were not prepared.
   */
  encodeSmallest(bytes: Uint8Array, effort: Effort): EncodedFrame;

  /** Loads codecs that are not loaded yet: of frames that are to be read. Throws `codec-unknown`. */
  prepare(ids: Iterable<number>): Promise<void>;

  /** Loads the codecs that an effort tries. Throws `kernel-unavailable`. */
  prepareEffort(effort: Effort): Promise<void>;
}

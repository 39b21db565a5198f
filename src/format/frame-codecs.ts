// What packs ask of codecs. The codec layer lies above this one and brings them.

import type { OwnedBytes } from '../base/bytes.ts';

/** How hard to try to write little, chosen per save; the least first. `none` writes pages as they are. */
export const EFFORTS = ['none', 'fast', 'balanced', 'small'] as const;

export type Effort = (typeof EFFORTS)[number];

/** A frame as a codec wrote it. */
export interface EncodedFrame {
  /** The codec's id: 1 to 255. */
  readonly codec: number;
  readonly bytes: Uint8Array;
}

export interface FrameCodecs {
  /** Throws `codec-unknown` when there is none, `wrong-state` when it was not prepared. */
  byId(id: number): FrameDecoder;
  /** The smallest encoding among those the effort allows; `bytes` themselves where none is smaller. Valid until the next call. */
  encodeSmallest(bytes: Uint8Array, effort: Effort): EncodedFrame;
}

export interface FrameDecoder {
  /** Exactly `plainLength` bytes; throws `codec-damaged` otherwise. */
  decode(bytes: Uint8Array, plainLength: number): OwnedBytes;
}

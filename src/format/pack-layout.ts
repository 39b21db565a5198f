// Where things lie in a pack and in its index; SPEC.md, sections 6 and 7.
//
//   pack:  opening (16) │ frame 0 │ frame 1 │ … │ index │ footer (32)
//
// Frames lie one after another without gaps, so their places follow from their lengths.

import type { ByteReader } from '../base/byte-reader.ts';
import { DIGEST_BYTES } from './digest.ts';
import { PATTERN_BYTES } from './pack-entry.ts';
import { CHECKSUM_BYTES, PREFIX_BYTES } from './prefix.ts';

/** Magic, version, reserved, features: the part of the prefix before the length, which a pack has at its end. */
export const OPENING_BYTES = 16;
export const FOOTER_BYTES = 32;

export const FRAME_BYTES = 16;
export const PLACE_BYTES = 8;
const COUNTS_BYTES = 16;
/** Places hold a frame's number in 24 bits. */
export const MAX_FRAMES = 2 ** 24;

/** Offsets of the columns of an index. */
export interface IndexLayout {
  readonly frameCount: number;
  readonly objectCount: number;
  readonly fillCount: number;
  readonly xorCount: number;
  readonly framesAt: number;
  readonly digestsAt: number;
  readonly placesAt: number;
  readonly patternsAt: number;
  readonly basesAt: number;
}

/** Bytes of an index with those counts. */
export function indexLengthBytes(counts: {
  readonly frames: number;
  readonly objects: number;
  readonly fills: number;
  readonly xors: number;
}): number {
  return (
    PREFIX_BYTES +
    COUNTS_BYTES +
    counts.frames * FRAME_BYTES +
    counts.objects * (DIGEST_BYTES + PLACE_BYTES) +
    counts.fills * PATTERN_BYTES +
    counts.xors * DIGEST_BYTES +
    CHECKSUM_BYTES
  );
}

/** Reads the counts of an index; throws `format-*` unless they account for every byte that it has. */
export function indexLayout(reader: ByteReader): IndexLayout {
  const frameCount = reader.u32();
  const objectCount = reader.u32();
  const fillCount = reader.u32();
  const xorCount = reader.u32();
  const framesAt = reader.offset;
  if (frameCount > MAX_FRAMES) reader.refuse('format-limit', { field: 'frame count', frameCount });
  const digestsAt = framesAt + frameCount * FRAME_BYTES;
  const placesAt = digestsAt + objectCount * DIGEST_BYTES;
  const patternsAt = placesAt + objectCount * PLACE_BYTES;
  const basesAt = patternsAt + fillCount * PATTERN_BYTES;
  const end = basesAt + xorCount * DIGEST_BYTES;
  const present = framesAt + reader.remaining;
  if (end > present) reader.refuse('format-truncated', { neededBytes: end, presentBytes: present });
  if (end < present) reader.refuse('format-range', { field: 'trailing bytes', count: present - end });
  return {
    frameCount,
    objectCount,
    fillCount,
    xorCount,
    framesAt,
    digestsAt,
    placesAt,
    patternsAt,
    basesAt,
  };
}

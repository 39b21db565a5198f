// One object in a pack, as values: what the writer collects and the index gives back.
//
// | Transform | Content of the object                                           |
// |-----------|-----------------------------------------------------------------|
// | plain     | its payload in the frame                                        |
// | fill      | an 8-byte pattern, repeated; no payload                         |
// | xor       | its payload in the frame, exclusive-or the content of its base  |

import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { Digest } from './digest.ts';

export const PATTERN_BYTES = 8;

/** A page of a region or device record, or a node of a table. */
export type ObjectKind = 'page' | 'node';
export type Transform = 'plain' | 'fill' | 'xor';

interface Named {
  readonly digest: Digest;
  readonly kind: ObjectKind;
  readonly lengthBytes: number;
}

/** Where a payload of `lengthBytes` lies once its frame is decoded. */
interface Placed {
  readonly frame: number;
  readonly offsetBytes: number;
}

export interface PlainEntry extends Named, Placed {
  readonly transform: 'plain';
}

export interface FillEntry extends Named {
  readonly transform: 'fill';
  /** Eight bytes, not all zero. */
  readonly pattern: OwnedBytes;
}

export interface XorEntry extends Named, Placed {
  readonly transform: 'xor';
  /** The object whose content, of the same length, has to be got first. */
  readonly base: Digest;
  /** Deltas to undo, this one included, as its writer counted them: 1 to 8. */
  readonly depth: number;
}

export type ObjectEntry = PlainEntry | FillEntry | XorEntry;

/** Where an object's payload lies. */
export type PayloadPlace = Pick<PlainEntry, 'frame' | 'offsetBytes' | 'lengthBytes'>;

/** A frame as the index describes it. */
export interface FrameEntry {
  readonly codec: number;
  /** Bytes in the pack, at most `plainLengthBytes`. */
  readonly lengthBytes: number;
  /** Bytes once decoded, at most 64 KiB. */
  readonly plainLengthBytes: number;
  /** CRC-32C of the bytes in the pack. */
  readonly checksum: number;
}

/** The payload of an object in its decoded frame, in place. */
export function objectPayload(frameBytes: OwnedBytes, entry: PayloadPlace): OwnedBytes {
  const end = entry.offsetBytes + entry.lengthBytes;
  if (end > frameBytes.length) {
    throw new VitrineError('format-truncated', { record: 'frame', frame: entry.frame, end });
  }
  return frameBytes.subarray(entry.offsetBytes, end);
}

/** The content of a fill object: its pattern over and over. */
export function fillContent(entry: FillEntry): OwnedBytes {
  const content = new Uint8Array(entry.lengthBytes);
  content.set(entry.pattern);
  for (let done = PATTERN_BYTES; done < content.length; done *= 2) content.copyWithin(done, 0, done);
  return content;
}

/**
 * The content of an xor object, from its payload and the content of its base; also, since the operation is its
 * own inverse, the payload from the content.
 *
 * Throws `format-range` when the lengths differ: then the base is not the one the writer had.
 */
export function xorContent(payload: Uint8Array, base: Uint8Array): OwnedBytes {
  if (payload.length !== base.length) {
    throw new VitrineError('format-range', {
      record: 'object',
      field: 'base length',
      lengthBytes: base.length,
      expectedBytes: payload.length,
    });
  }
  const content = new Uint8Array(payload.length);
  content.set(payload);
  xorInto(content, base);
  return content;
}

/** `into ^= from`, by words where both are aligned. Lengths are equal. */
export function xorInto(into: Uint8Array, from: Uint8Array): void {
  let done = 0;
  if (into.byteOffset % 4 === 0 && from.byteOffset % 4 === 0) {
    const count = into.length >>> 2;
    const target = new Uint32Array(into.buffer, into.byteOffset, count);
    const source = new Uint32Array(from.buffer, from.byteOffset, count);
    for (let i = 0; i < count; i++) target[i]! ^= source[i]!;
    done = count * 4;
  }
  for (let i = done; i < into.length; i++) into[i]! ^= from[i]!;
}

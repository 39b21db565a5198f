// Reads packs. With the index at hand one frame is read without the rest of the file; the checksum is looked at
// before a codec sees a byte. That an object is the one it is named after only its digest can tell: the caller
// checks it, after undoing the transform.

import { ByteReader } from '../base/byte-reader.ts';
import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { crc32c } from './crc32c.ts';
import type { FrameCodecs } from './frame-codecs.ts';
import type { FrameEntry } from './pack-entry.ts';
import { decodeFooter } from './pack-footer.ts';
import { decodeIndex, type PackIndex } from './pack-index.ts';
import { FOOTER_BYTES, OPENING_BYTES } from './pack-layout.ts';
import { readOpening } from './prefix.ts';

/** Where a frame lies in its pack. */
export function frameRange(
  index: PackIndex,
  frame: number,
): { readonly offsetBytes: number; readonly lengthBytes: number } {
  return { offsetBytes: index.frameOffsetAt(frame), lengthBytes: index.frame(frame).lengthBytes };
}

/**
 * The plain bytes of a frame, from its bytes in the pack.
 *
 * Throws `format-truncated`, `format-range` or `format-checksum` when those are not what the index describes,
 * `codec-unknown`, and `codec-damaged` when its writer already wrote what does not decode.
 */
export function decodeFrame(
  index: PackIndex,
  frame: number,
  bytes: OwnedBytes,
  codecs: FrameCodecs,
): OwnedBytes {
  const { lengthBytes, plainLengthBytes, checksum, codec } = index.frame(frame);
  if (bytes.length !== lengthBytes) {
    const code = bytes.length < lengthBytes ? 'format-truncated' : 'format-range';
    throw new VitrineError(code, {
      record: 'frame',
      frame,
      lengthBytes: bytes.length,
      expectedBytes: lengthBytes,
    });
  }
  return decodeChecked(bytes, { frame, codec, plainLengthBytes, checksum }, codecs);
}

/** The content of a frame whose bytes are all there. Throws `format-checksum`, and what its codec throws. */
export function decodeChecked(
  bytes: OwnedBytes,
  {
    frame,
    codec,
    plainLengthBytes,
    checksum,
  }: Pick<FrameEntry, 'codec' | 'plainLengthBytes' | 'checksum'> & { readonly frame: number },
  codecs: FrameCodecs,
): OwnedBytes {
  const computed = crc32c(bytes);
  if (computed !== checksum) {
    throw new VitrineError('format-checksum', { record: 'frame', frame, stored: checksum, computed });
  }
  return codecs.byId(codec).decode(bytes, plainLengthBytes);
}

/** The range that has to be read of a pack of that length to find its index. Throws `format-truncated`. */
export function footerRange(packLengthBytes: number): {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
} {
  if (packLengthBytes < OPENING_BYTES + FOOTER_BYTES) {
    throw new VitrineError('format-truncated', { record: 'pack', lengthBytes: packLengthBytes });
  }
  return { offsetBytes: packLengthBytes - FOOTER_BYTES, lengthBytes: FOOTER_BYTES };
}

/**
 * The index of a whole pack: for rebuilding one that was lost.
 *
 * Checks opening, footer and index, but no frame. Throws `format-*`.
 */
export function readPackIndex(packBytes: OwnedBytes): PackIndex {
  readOpening(new ByteReader(packBytes, 'pack'), 'pack');
  const tail = footerRange(packBytes.length);
  const footer = decodeFooter(packBytes.subarray(tail.offsetBytes), packBytes.length);
  // A copy, so that the index does not keep the pack in memory.
  const index = decodeIndex(packBytes.slice(footer.offsetBytes, footer.offsetBytes + footer.lengthBytes));
  if (index.offsetInPack !== footer.offsetBytes) {
    throw new VitrineError('format-range', {
      record: 'pack',
      field: 'frame lengths',
      end: index.offsetInPack,
      expected: footer.offsetBytes,
    });
  }
  return index;
}

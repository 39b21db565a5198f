// A pack that is put together where it is to lie, by whoever encodes: frames of pages follow one another behind the opening, and
// index and footer are put behind the last of them. Nothing is copied.

import { assert } from '../base/assert.ts';
import type { OwnedBytes } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import { DIGEST_BYTES } from './digest.ts';
import type { FrameEntry, PlainEntry } from './pack-entry.ts';
import { encodeFooter } from './pack-footer.ts';
import { encodeIndex, ownIndex, type PackIndex } from './pack-index.ts';
import { FOOTER_BYTES, indexLengthBytes, OPENING_BYTES } from './pack-layout.ts';
import { openingOf } from './prefix.ts';

/** A pack in the first bytes of some memory. Its name is their digest. */
export interface PlacedBytes {
  readonly lengthBytes: number;
  readonly index: PackIndex;
}

export class PlacedPack {
  readonly memory: Uint8Array;
  readonly #frames: FrameEntry[] = [];
  /** What was added, frames and their digests, as it came. */
  readonly #added: { readonly frame: number; readonly frameCount: number; readonly digests: OwnedBytes }[] =
    [];
  #objectCount = 0;
  #endBytes = OPENING_BYTES;

  /** `memory` has room for a pack, `LIMITS.packBytes`. */
  constructor(memory: Uint8Array) {
    assert(memory.length >= LIMITS.packBytes, 'there is room for a pack');
    this.memory = memory;
    memory.set(openingOf('pack'));
  }

  /** Where the next frame is to lie. */
  get endBytes(): number {
    return this.#endBytes;
  }

  /** How many frames of so many objects surely fit, even if none becomes smaller by encoding. */
  framesThatFit(objectsPerFrame: number): number {
    const counts = { fills: 0, xors: 0 };
    const index = indexLengthBytes({ frames: this.#frames.length, objects: this.#objectCount, ...counts });
    const another = indexLengthBytes({ frames: 1, objects: objectsPerFrame, ...counts });
    const room = LIMITS.packBytes - this.#endBytes - index - FOOTER_BYTES;
    return Math.max(0, Math.floor(room / (LIMITS.frameBytes + another)));
  }

  /**
   * Takes frames that have been put at `endBytes`, one after another, and the digests of the pages in them: plain objects of one
   * length, none of which the pack has. Keeps the digests, which are not to be written to.
   */
  addFrames(frames: readonly FrameEntry[], digests: OwnedBytes): void {
    const frame = this.#frames.length;
    for (const { codec, lengthBytes, plainLengthBytes, checksum } of frames) {
      assert(lengthBytes <= plainLengthBytes, 'a frame never grows');
      this.#frames.push({ codec, lengthBytes, plainLengthBytes, checksum });
      this.#endBytes += lengthBytes;
    }
    this.#added.push({ frame, frameCount: frames.length, digests });
    this.#objectCount += digests.length / DIGEST_BYTES;
  }

  /** Ends the pack, which is of no use afterwards. */
  finish(): PlacedBytes {
    const bytes = encodeIndex(this.#frames, this.#objects());
    const footer = encodeFooter({ offsetBytes: this.#endBytes, lengthBytes: bytes.length });
    this.memory.set(bytes, this.#endBytes);
    this.memory.set(footer, this.#endBytes + bytes.length);
    return { lengthBytes: this.#endBytes + bytes.length + footer.length, index: ownIndex(bytes) };
  }

  #objects(): PlainEntry[] {
    const objects: PlainEntry[] = [];
    for (const { frame: first, frameCount, digests } of this.#added) {
      const perFrame = digests.length / DIGEST_BYTES / frameCount;
      for (let at = 0; at < digests.length; at += DIGEST_BYTES) {
        const number = at / DIGEST_BYTES;
        const frame = first + Math.floor(number / perFrame);
        const lengthBytes = this.#frames[frame]!.plainLengthBytes / perFrame;
        assert(Number.isInteger(lengthBytes), 'a frame is a whole number of pages');
        const digest = digests.subarray(at, at + DIGEST_BYTES);
        const offsetBytes = (number % perFrame) * lengthBytes;
        objects.push({ digest, kind: 'page', lengthBytes, transform: 'plain', frame, offsetBytes });
      }
    }
    return objects;
  }
}

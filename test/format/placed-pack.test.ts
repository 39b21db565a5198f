// Packs that are put together where they lie: they hold what was put there, and never more than there is room for.

import { createBLAKE3 } from 'hash-wasm';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { RAW_ID } from '../../src/codec/raw.ts';
import { crc32c } from '../../src/format/crc32c.ts';
import { readPackIndex } from '../../src/format/pack-reader.ts';
import { PlacedPack } from '../../src/format/placed-pack.ts';
import { Random } from '../../src/testing/random.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const blake3 = await createBLAKE3();
const random = new Random(seedOfRun());

/** Puts frames of noise behind what there is, as they are. Answers with their pages. */
function putFrames(pack: PlacedPack, frameCount: number, pageBytes: number): Uint8Array[] {
  const plain = random.bytes(frameCount * LIMITS.frameBytes);
  pack.memory.set(plain, pack.endBytes);
  const frames = Array.from({ length: frameCount }, (_, frame) => {
    const bytes = plain.subarray(frame * LIMITS.frameBytes, (frame + 1) * LIMITS.frameBytes);
    return {
      codec: RAW_ID,
      lengthBytes: bytes.length,
      plainLengthBytes: bytes.length,
      checksum: crc32c(bytes),
    };
  });
  const pages = Array.from({ length: plain.length / pageBytes }, (_, page) =>
    plain.subarray(page * pageBytes, (page + 1) * pageBytes),
  );
  const digests = new Uint8Array(32 * pages.length);
  for (const [page, bytes] of pages.entries()) digests.set(digestOf(bytes), 32 * page);
  pack.addFrames(frames, digests);
  return pages;
}

function digestOf(bytes: Uint8Array): Uint8Array {
  return blake3.init().update(bytes).digest('binary');
}

describe.each([256, 4096, 65_536])('a pack in place, of pages of %i bytes', (pageBytes) => {
  it('is full where no frame fits any more, and holds all pages', () => {
    const guard = 4096;
    const memory = new Uint8Array(LIMITS.packBytes + guard).fill(0xa5);
    const pack = new PlacedPack(memory);
    const perFrame = LIMITS.frameBytes / pageBytes;
    const pages: Uint8Array[] = [];
    for (let fits = pack.framesThatFit(perFrame); fits > 0; fits = pack.framesThatFit(perFrame)) {
      pages.push(...putFrames(pack, Math.min(fits, 1 + random.below(9)), pageBytes));
    }
    const { lengthBytes, index } = pack.finish();
    expect(lengthBytes).toBeLessThanOrEqual(LIMITS.packBytes);
    // One more frame of that kind would have been too much.
    const another = LIMITS.frameBytes + 16 + 40 * perFrame;
    expect(lengthBytes + another).toBeGreaterThan(LIMITS.packBytes);
    expect(memory.subarray(LIMITS.packBytes).every((byte) => byte === 0xa5)).toBe(true);

    const bytes = memory.slice(0, lengthBytes);
    const read = readPackIndex(bytes);
    expectSame(read.bytes, index.bytes);
    expect(read.count).toBe(pages.length);
    for (const page of pages) {
      const entry = read.find(digestOf(page));
      const at = read.frameOffsetAt(read.frameAt(entry)) + read.offsetAt(entry);
      expectSame(bytes.subarray(at, at + read.lengthAt(entry)), page);
    }
  });

  it('takes pages of several lengths', () => {
    const pack = new PlacedPack(new Uint8Array(LIMITS.packBytes));
    const pages = [
      ...putFrames(pack, 2, pageBytes),
      ...putFrames(pack, 3, 1024),
      ...putFrames(pack, 1, pageBytes),
    ];
    const { lengthBytes } = pack.finish();
    const read = readPackIndex(pack.memory.slice(0, lengthBytes) as Uint8Array<ArrayBuffer>);
    expect(pages.map((page) => read.lengthAt(read.find(digestOf(page))))).toEqual(
      pages.map(({ length }) => length),
    );
  });
});

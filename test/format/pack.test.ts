// Packs: whatever objects go in come out, by us and by the independent reader; damage is found before a codec
// sees it; an incremental save costs little more than what changed.

import fc from 'fast-check';
import { createBLAKE3 } from 'hash-wasm';
import { describe, expect, test } from 'vitest';
import { isVitrineError } from '../../src/base/error.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { type Effort, loadCodecs } from '../../src/codec/index.ts';
import { EFFORTS } from '../../src/format/frame-codecs.ts';
import {
  type Digest,
  decodeFrame,
  digestKey,
  type FinishedPack,
  fillContent,
  frameRange,
  objectPayload,
  type PackIndex,
  PackWriter,
  readPackIndex,
  xorContent,
} from '../../src/format/index.ts';
import { encodeFooter } from '../../src/format/pack-footer.ts';
import { noise, prose } from '../fixtures/format-v1/samples.ts';
import { hex, Refused } from '../reader/cursor.ts';
import { Objects } from '../reader/read-snapshot.ts';
import { codeOf, flipsOf, RUN, truncationsOf } from './arbitraries.ts';

const codecs = await loadCodecs();
await codecs.prepareEffort('small');

const blake3 = await createBLAKE3();
const digest = (bytes: Uint8Array): Digest => new Uint8Array(blake3.init().update(bytes).digest('binary'));

type Bytes = Uint8Array<ArrayBuffer>;

/** Faster than `toEqual`, which takes arrays apart. */
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.from(a).equals(b);

const newWriter = (effort: Effort): PackWriter => new PackWriter({ codecs, effort, digest });

function frameBytes(pack: Bytes, index: PackIndex, frame: number): Bytes {
  const { offsetBytes, lengthBytes } = frameRange(index, frame);
  return pack.slice(offsetBytes, offsetBytes + lengthBytes);
}

/** The content of an object of a pack that holds its bases too. */
function contentOf(pack: Bytes, index: PackIndex, name: Digest): Bytes {
  const entry = index.entry(index.find(name));
  if (entry.transform === 'fill') return fillContent(entry);
  const plain = decodeFrame(index, entry.frame, frameBytes(pack, index, entry.frame), codecs);
  const payload = objectPayload(plain, entry);
  return entry.transform === 'plain' ? payload : xorContent(payload, contentOf(pack, index, entry.base));
}

/** A page or node of some look. */
const object = fc
  .record({
    seed: fc.nat({ max: 2 ** 32 - 1 }),
    look: fc.constantFrom('noise', 'prose', 'sparse', 'fill'),
    shape: fc.oneof(
      fc
        .constantFrom(8, 9, 10, 12, 12, 16)
        .map((bits) => ({ kind: 'page' as const, lengthBytes: 2 ** bits })),
      fc
        .constantFrom(1, 2, 3, 40, 511, 512)
        .map((entries) => ({ kind: 'node' as const, lengthBytes: 32 * entries })),
    ),
    changes: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { maxLength: 12 }),
  })
  .map(({ seed, look, shape, changes }) => {
    let bytes = noise(shape.lengthBytes, seed);
    if (look === 'prose') bytes = prose(shape.lengthBytes).map((byte) => (byte + seed) & 255);
    if (look === 'sparse') bytes = bytes.map((byte, i) => (i % 97 === seed % 97 ? byte | 1 : 0));
    if (look === 'fill') bytes = bytes.map((_, i) => bytes[i % 8]! | 1);
    const after = bytes.slice();
    for (const [at, change] of changes) after[at % after.length]! ^= change;
    return { kind: shape.kind, look, bytes, after };
  });

describe('round trip', () => {
  test.each(EFFORTS)('any objects, %s', (effort) => {
    fc.assert(
      fc.property(fc.array(object, { maxLength: 8 }), (objects) => {
        const writer = newWriter(effort);
        const expected = new Map<string, Bytes>();
        for (const { kind, look, bytes, after } of objects) {
          const name = digest(bytes);
          const pattern = bytes.slice(0, 8);
          if (look === 'fill') writer.addFill({ digest: name, kind, lengthBytes: bytes.length, pattern });
          else writer.addPlain({ digest: name, kind, bytes });
          // A node and a page can have the same bytes only where a seed makes them; the first one counts.
          if (!expected.has(digestKey(name))) expected.set(digestKey(name), bytes);
          const later = digest(after);
          if (!expected.has(digestKey(later))) {
            expected.set(digestKey(later), after);
            writer.addSmaller({ digest: later, kind, bytes: after, base: { digest: name, bytes, depth: 0 } });
          }
        }
        const bound = writer.encodedBytes;
        expect(writer.objectCount).toBe(expected.size);
        const { name, bytes: pack, index } = writer.finish();
        expect(pack.length).toBeLessThanOrEqual(bound);
        expect(name).toEqual(digest(pack));
        expect(same(readPackIndex(pack).bytes, index.bytes)).toBe(true);
        expect(index.count).toBe(expected.size);
        const other = new Objects([pack]);
        for (const [key, content] of expected) {
          const named = digest(content);
          expect(digestKey(named)).toBe(key);
          expect(same(contentOf(pack, index, named), content)).toBe(true);
          const kind = index.kindAt(index.find(named)) === 'page' ? 1 : 2;
          expect(same(other.content(hex(named), kind), content)).toBe(true);
        }
      }),
      { ...RUN, numRuns: 10 },
    );
  });

  test('a chain of deltas as long as allowed, and no longer', () => {
    const writer = newWriter('fast');
    let bytes = prose(4096);
    writer.addPlain({ digest: digest(bytes), kind: 'page', bytes });
    for (let depth = 0; depth < LIMITS.maxDeltaDepth; depth++) {
      const next = bytes.slice();
      next[depth] = 0;
      const base = { digest: digest(bytes), bytes, depth };
      expect(writer.addSmaller({ digest: digest(next), kind: 'page', bytes: next, base })).toBe('xor');
      bytes = next;
    }
    const last = bytes.slice();
    last[100] = 0;
    const base = { digest: digest(bytes), bytes, depth: LIMITS.maxDeltaDepth };
    expect(writer.addSmaller({ digest: digest(last), kind: 'page', bytes: last, base })).toBe('plain');
    const { bytes: pack, index } = writer.finish();
    expect(index.depthAt(index.find(digest(bytes)))).toBe(LIMITS.maxDeltaDepth);
    expect(contentOf(pack, index, digest(bytes))).toEqual(bytes);
    expect(hex(new Objects([pack]).content(hex(digest(bytes)), 1))).toBe(hex(bytes));
  });

  test('an object given twice is written once, and what was given may be reused', () => {
    const writer = newWriter('fast');
    const page = noise(256, 7);
    const name = digest(page);
    writer.addPlain({ digest: name, kind: 'page', bytes: page });
    writer.addPlain({ digest: name, kind: 'page', bytes: page });
    const kept = page.slice();
    page.fill(0);
    name.fill(0);
    expect(writer.has(digest(kept))).toBe(true);
    const { bytes, index } = writer.finish();
    expect(index.count).toBe(1);
    expect(contentOf(bytes, index, digest(kept))).toEqual(kept);
  });

  test('pages and nodes lie in frames of their own', () => {
    const writer = newWriter('fast');
    for (let i = 0; i < 20; i++) {
      const page = noise(4096, i);
      const node = noise(4096 - 32, 100 + i);
      writer.addPlain({ digest: digest(page), kind: 'page', bytes: page });
      writer.addPlain({ digest: digest(node), kind: 'node', bytes: node });
    }
    const { index } = writer.finish();
    const kinds = new Map<number, Set<string>>();
    for (let i = 0; i < index.count; i++) {
      const frame = index.frameAt(i);
      kinds.set(frame, (kinds.get(frame) ?? new Set()).add(index.kindAt(i)));
    }
    expect([...kinds.values()].every((one) => one.size === 1)).toBe(true);
  });

  test('a pack that has room for one more object keeps its bound', () => {
    const writer = newWriter('fast');
    let seed = 0;
    while (writer.hasRoomFor(65_536)) {
      const bytes = noise(65_536, seed++);
      writer.addPlain({ digest: digest(bytes.subarray(0, 32)), kind: 'page', bytes });
    }
    const { length } = writer.finish().bytes;
    expect(length).toBeLessThanOrEqual(LIMITS.packBytes);
    expect(length).toBeGreaterThan(LIMITS.packBytes - 140_000);
  });
});

describe('damage', () => {
  const pages = [noise(256, 1), noise(256, 2), prose(1024)];
  const made: FinishedPack = (() => {
    const writer = newWriter('fast');
    for (const bytes of pages) writer.addPlain({ digest: digest(bytes), kind: 'page', bytes });
    return writer.finish();
  })();
  const { bytes: pack, index } = made;

  test('every flipped bit outside frames is refused with the index', () => {
    const spans = [
      [0, 16],
      [index.offsetInPack, pack.length],
    ] as const;
    for (const [start, end] of spans) {
      for (const hurt of flipsOf(pack, start, end))
        expect(codeOf(() => readPackIndex(hurt))).toMatch(/^format-/);
    }
  });

  test('every flipped bit of a frame is found before a codec sees it', () => {
    const blind = {
      ...codecs,
      byId: () => {
        throw new Error('a codec was asked');
      },
    };
    for (const hurt of flipsOf(frameBytes(pack, index, 0))) {
      expect(codeOf(() => decodeFrame(index, 0, hurt, blind))).toBe('format-checksum');
    }
  });

  test('every truncation is refused, of pack and of frame', () => {
    for (const cut of truncationsOf(pack)) expect(codeOf(() => readPackIndex(cut))).toMatch(/^format-/);
    for (const cut of truncationsOf(frameBytes(pack, index, 0))) {
      expect(codeOf(() => decodeFrame(index, 0, cut, codecs))).toBe('format-truncated');
    }
    const longer = Uint8Array.of(...frameBytes(pack, index, 0), 0);
    expect(codeOf(() => decodeFrame(index, 0, longer, codecs))).toBe('format-range');
  });

  test('bytes put in front of the index are noticed', () => {
    const at = index.offsetInPack;
    const longer = Uint8Array.of(...pack.subarray(0, at), 0, ...pack.subarray(at));
    expect(codeOf(() => readPackIndex(longer))).toBe('format-range');
    const footer = encodeFooter({ offsetBytes: at + 1, lengthBytes: index.bytes.length });
    longer.set(footer, longer.length - footer.length);
    expect(codeOf(() => readPackIndex(longer))).toBe('format-range');
    expect(() => new Objects([longer])).toThrow(Refused);
  });

  test('a base of another length is refused', () => {
    expect(codeOf(() => xorContent(new Uint8Array(256), new Uint8Array(512)))).toBe('format-range');
  });

  test('random bytes are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (random) => {
        expect(codeOf(() => readPackIndex(Uint8Array.from(random)))).toMatch(/^format-/);
      }),
      { ...RUN, numRuns: 200 },
    );
  });

  test('an unknown codec is told as such', () => {
    const unknown = { ...codecs, byId: (id: number) => codecs.byId(id + 200) };
    try {
      decodeFrame(index, 0, frameBytes(pack, index, 0), unknown);
      expect.unreachable();
    } catch (error) {
      expect(isVitrineError(error, 'codec-unknown')).toBe(true);
    }
  });
});

test('60 changed pages and 25 nodes cost little beyond what changed in them', () => {
  const writer = newWriter('fast');
  let changedBytes = 0;
  const add = (kind: 'page' | 'node', lengthBytes: number, run: number, seed: number): void => {
    const before = noise(lengthBytes, seed);
    const after = before.slice();
    after.set(noise(run, seed + 1), (seed * 64) % (lengthBytes - run));
    changedBytes += run;
    const base = { digest: digest(before), bytes: before, depth: 0 };
    expect(writer.addSmaller({ digest: digest(after), kind, bytes: after, base })).toBe('xor');
  };
  for (let i = 0; i < 60; i++) add('page', 4096, 100, 2 * i);
  for (let i = 0; i < 25; i++) add('node', 16_384, 77, 1000 + 2 * i);
  const { bytes, index } = writer.finish();
  const objects = 85;
  // 40 bytes an object and 32 for its base.
  const indexBytes = 40 + objects * (40 + 32) + 16 * index.frameCount;
  expect(index.bytes.length).toBe(indexBytes);
  // Frames: what changed, and at most a twentieth of it and 64 bytes for each object.
  const frameTotal = bytes.length - index.bytes.length;
  expect(frameTotal).toBeLessThan(changedBytes * 1.05 + 64 * objects);
});

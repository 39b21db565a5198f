// Each codec gives back what it took, refuses what it did not write, never gives more than was asked for, and
// goes on working after being lied to.

import fc from 'fast-check';
import { decompress as otherZstd } from 'fzstd';
import { describe, expect, test } from 'vitest';
import { isVitrineError } from '../../src/base/error.ts';
import { type Codec, codecsOf, loadCodecs } from '../../src/codec/index.ts';
import { EFFORTS, type Effort } from '../../src/format/frame-codecs.ts';
import { noise, prose } from '../fixtures/format-v1/samples.ts';
import { codeOf, RUN } from '../format/arbitraries.ts';
import { decodeLz4Block } from '../reader/lz4-block.ts';
import { decodeSparse } from '../reader/sparse.ts';

const FRAME = 65_536;

const PEERS: Readonly<Record<string, (bytes: Uint8Array, plainLength: number) => Uint8Array>> = {
  raw: (bytes) => bytes,
  lz4: decodeLz4Block,
  zstd: (bytes) => otherZstd(bytes),
  'sparse-lz4': (bytes, plainLength) => decodeSparse(bytes, plainLength, decodeLz4Block),
  'sparse-zstd': (bytes, plainLength) => decodeSparse(bytes, plainLength, (words) => otherZstd(words)),
};

const codecs = await loadCodecs();
await codecs.prepareEffort('small');
const ALL: readonly (readonly [string, Codec])[] = [1, 2, 3, 4, 5].map((id) => {
  const codec = codecs.byId(id);
  return [codec.name, codec] as const;
});
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.from(a).equals(b);

/** A copy of the encoding, which is valid until the codec's next call; undefined where it is not for these bytes. */
function tryEncode(codec: Codec, bytes: Uint8Array, effort: Effort): Uint8Array<ArrayBuffer> | undefined {
  const encoded = codec.encode(bytes, effort);
  return encoded === undefined ? undefined : Uint8Array.from(encoded);
}

/** As `tryEncode`, where the codec is known to be for the bytes. */
function encode(codec: Codec, bytes: Uint8Array, effort: Effort): Uint8Array<ArrayBuffer> {
  const encoded = tryEncode(codec, bytes, effort);
  if (encoded === undefined) throw new Error(`${codec.name} is not for these bytes`);
  return encoded;
}

/** Bytes that the codec is for: prose, or a few words of it. */
function sampleOf(codec: Codec, lengthBytes: number): Uint8Array<ArrayBuffer> {
  const bytes = prose(lengthBytes);
  return codec.name.startsWith('sparse') ? bytes.map((byte, i) => ((i >> 2) % 5 === 2 ? byte : 0)) : bytes;
}

/** Bytes of every look that frames have. */
const plain = fc
  .record({
    lengthBytes: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constantFrom(4096, 65_535, FRAME)),
    look: fc.constantFrom('noise', 'prose', 'zeros', 'sparse'),
    seed: fc.nat({ max: 2 ** 32 - 1 }),
  })
  .map(({ lengthBytes, look, seed }) => {
    if (look === 'zeros') return new Uint8Array(lengthBytes);
    if (look === 'prose') return prose(lengthBytes);
    const bytes = noise(lengthBytes, seed);
    return look === 'noise' ? bytes : bytes.map((byte, i) => ((i * 7 + seed) % 61 === 0 ? byte : 0));
  });

describe.each(ALL)('%s', (name, codec) => {
  test('gives back what it took, and another decoder agrees', () => {
    fc.assert(
      fc.property(plain, fc.constantFrom(...EFFORTS), (bytes, effort) => {
        const encoded = tryEncode(codec, bytes, effort);
        fc.pre(encoded !== undefined);
        expect(same(codec.decode(encoded, bytes.length), bytes)).toBe(true);
        expect(same(PEERS[name]!(encoded, bytes.length), bytes)).toBe(true);
        expect(codec.encode(bytes, effort)?.length).toBe(encoded.length);
      }),
      { ...RUN, numRuns: 40 },
    );
  });

  test('takes what it gave', () => {
    const bytes = sampleOf(codec, 60_000);
    for (let round = 0; round < 3; round++) {
      expect(same(codec.decode(codec.encode(bytes, 'fast')!, bytes.length), bytes)).toBe(true);
    }
  });

  test('takes views, and gives arrays of its own', () => {
    const whole = sampleOf(codec, 1000);
    const encoded = encode(codec, whole.subarray(100, 900), 'fast');
    const wrapped = Uint8Array.of(1, 2, 3, ...encoded, 4);
    const decoded = codec.decode(wrapped.subarray(3, 3 + encoded.length), 800);
    expect(same(decoded, whole.subarray(100, 900))).toBe(true);
    expect([encoded.buffer.byteLength, decoded.buffer.byteLength]).toEqual([encoded.length, 800]);
  });

  test('refuses another length than was encoded', () => {
    const encoded = encode(codec, sampleOf(codec, 4096).fill(1, 4092), 'fast');
    for (const lengthBytes of [0, 1, 4095, 4097, FRAME, FRAME + 1, 2 ** 32 - 1, 2 ** 48]) {
      expect(codeOf(() => codec.decode(encoded, lengthBytes))).toBe('codec-damaged');
    }
  });

  test('refuses every truncation', () => {
    const bytes = sampleOf(codec, 600);
    const encoded = encode(codec, bytes, 'fast');
    for (let length = 0; length < encoded.length; length++) {
      expect(codeOf(() => codec.decode(encoded.subarray(0, length), bytes.length))).toBe('codec-damaged');
    }
  });

  test('damaged bytes give the asked length or an error, and the next frame is right', () => {
    const good = sampleOf(codec, 5000);
    const goodEncoded = encode(codec, good, 'small');
    fc.assert(
      fc.property(
        plain,
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1 }),
        (bytes, changes) => {
          const encoded = tryEncode(codec, bytes, 'fast');
          fc.pre(encoded !== undefined);
          for (const [at, byte] of changes) encoded[at % encoded.length] = byte;
          const code = codeOf(() => {
            expect(codec.decode(encoded, bytes.length).length).toBe(bytes.length);
          });
          expect(code).toMatch(/^(none|codec-damaged)$/);
          expect(same(codec.decode(goodEncoded, good.length), good)).toBe(true);
        },
      ),
      { ...RUN, numRuns: 150 },
    );
  });

  test('random bytes are refused or give the asked length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), fc.nat({ max: FRAME }), (bytes, lengthBytes) => {
        const code = codeOf(() => {
          expect(codec.decode(bytes, lengthBytes).length).toBe(lengthBytes);
        });
        expect(code).toMatch(/^(none|codec-damaged)$/);
      }),
      { ...RUN, numRuns: 200 },
    );
  });
});

describe('bombs', () => {
  const zstd = codecs.byId(3);
  const magic = [0x28, 0xb5, 0x2f, 0xfd];

  test('a zstd header of another form than ours is refused before the library sees it', () => {
    const block = [0x01, 0x00, 0x00];
    const forms = {
      'content of 2^62 bytes': [...magic, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40, ...block],
      'content of 4 GiB': [...magic, 0xa0, 0xff, 0xff, 0xff, 0xff, ...block],
      'a window of 2 GiB and no size': [...magic, 0x00, 0xa8, ...block],
      'a dictionary': [...magic, 0x21, 0x01, 0x00, ...block],
      'a checksum': [...magic, 0x24, 0x00, ...block, 0, 0, 0, 0],
      'a skippable frame': [0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0x7f],
    };
    for (const bytes of Object.values(forms)) {
      for (const lengthBytes of [0, 1, FRAME]) {
        expect(codeOf(() => zstd.decode(Uint8Array.from(bytes), lengthBytes))).toBe('codec-damaged');
      }
    }
  });

  test('what the library would overlook is refused: one frame has one encoding of its header', () => {
    const bytes = prose(1000);
    const encoded = encode(zstd, bytes, 'fast');
    const unused = encoded.slice();
    unused[4]! |= 0x10;
    expect(same(otherZstd(unused), bytes)).toBe(true);
    expect(codeOf(() => zstd.decode(unused, bytes.length))).toBe('codec-damaged');
  });

  test('frames after the first do not add to it', () => {
    const encoded = encode(zstd, new Uint8Array(FRAME), 'fast');
    const twice = Uint8Array.of(...encoded, ...encoded);
    expect(codeOf(() => zstd.decode(twice, FRAME))).toBe('codec-damaged');
    expect(codeOf(() => zstd.decode(twice, 2 * FRAME))).toBe('codec-damaged');
  });

  test('an lz4 block that would fill a gigabyte stops at the length asked for', () => {
    const bomb = new Uint8Array(FRAME).fill(255);
    bomb.set([0x1f, 0x41, 0x01, 0x00]);
    expect(codeOf(() => codecs.byId(2).decode(bomb, FRAME))).toBe('codec-damaged');
  });
});

describe('codecs', () => {
  const sparse = sampleOf(codecs.byId(4), FRAME);
  const patchy = noise(FRAME, 6).map((byte, i) => (i % 1024 < 256 ? byte : 0));

  test('the smallest encoding wins or one that is small, and none is larger than the bytes', () => {
    for (const effort of EFFORTS) {
      for (const bytes of [noise(FRAME, 5), prose(FRAME), new Uint8Array(256), noise(1, 1), sparse, patchy]) {
        const { codec, bytes: found } = codecs.encodeSmallest(bytes, effort);
        const encoded = Uint8Array.from(found);
        const lengths = codecsOf(effort).map(
          (id) => codecs.byId(id).encode(bytes, effort)?.length ?? FRAME + 1,
        );
        const least = Math.min(...lengths);
        expect(encoded.length).toBeLessThanOrEqual(Math.max(least, bytes.length / 8));
        expect(encoded.length).toBeLessThanOrEqual(bytes.length);
        expect(same(codecs.byId(codec).decode(encoded, bytes.length), bytes)).toBe(true);
      }
    }
    expect(codecs.encodeSmallest(prose(FRAME), 'none').codec).toBe(1);
    expect(codecs.encodeSmallest(noise(FRAME, 5), 'small').codec).toBe(1);
    expect(codecs.encodeSmallest(prose(FRAME), 'fast').codec).toBe(2);
    expect(codecs.encodeSmallest(prose(FRAME), 'small').codec).toBe(3);
    expect(codecs.encodeSmallest(patchy, 'fast').codec).toBe(4);
    expect(codecs.encodeSmallest(sparse, 'small').codec).toBe(5);
  });

  test('what is not loaded says so, what does not exist says that', async () => {
    const fresh = await loadCodecs();
    expect(codeOf(() => fresh.byId(3))).toBe('wrong-state');
    expect(codeOf(() => fresh.encodeSmallest(prose(10), 'small'))).toBe('wrong-state');
    for (const id of [0, 6, 255]) expect(codeOf(() => fresh.byId(id))).toBe('codec-unknown');
    await expect(fresh.prepare([1, 77])).rejects.toSatisfy((error) => isVitrineError(error, 'codec-unknown'));
    await Promise.all([fresh.prepare([3]), fresh.prepare([3, 2])]);
    expect(fresh.byId(3).name).toBe('zstd');
  });

  test('the ids are those of the format', () => {
    expect(ALL.map(([name, { id }]) => [id, name])).toEqual([
      [1, 'raw'],
      [2, 'lz4'],
      [3, 'zstd'],
      [4, 'sparse-lz4'],
      [5, 'sparse-zstd'],
    ]);
  });
});

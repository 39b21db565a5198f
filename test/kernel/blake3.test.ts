// BLAKE3: the official vectors, and two libraries that share no code with ours.

import { blake3 as noble } from '@noble/hashes/blake3.js';
import { createBLAKE3 } from 'hash-wasm';
import { beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { type Kernels, loadKernels } from '../../src/kernel/index.ts';
import { BLAKE3_VECTORS, vectorInput } from './blake3-vectors.ts';
import { BUILDS, randomBytes, randomFrom, SEED } from './builds.ts';
import { Field } from './field.ts';

const PAGE_SIZES = [256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];
const PAGE_COUNTS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33];

describe.each(BUILDS)('%s', (build) => {
  let kernels: Kernels;
  let hasher: Awaited<ReturnType<typeof createBLAKE3>>;

  beforeAll(async () => {
    kernels = await loadKernels({ build });
    hasher = await createBLAKE3();
  });

  /** The digest by kernel of bytes at some alignment. */
  function digest(bytes: Uint8Array, offset = 0): string {
    const field = new Field(kernels, randomFrom(SEED + offset));
    const at = field.put(bytes, offset);
    const out = field.room(32, offset);
    field.run(() => kernels.digestBytes(at, bytes.length, out));
    const hex = toHex(field.read(out, 32));
    field.close();
    return hex;
  }

  function peer(bytes: Uint8Array): string {
    return hasher.init().update(bytes).digest('hex');
  }

  it.each(BLAKE3_VECTORS)('agrees with the official vector of %i bytes', (lengthBytes, expected) => {
    expect(digest(vectorInput(lengthBytes))).toBe(expected);
  });

  it('agrees with two libraries around every edge of blocks, chunks and subtrees', () => {
    const random = randomFrom(SEED);
    const input = randomBytes(random, 5 * 65_536);
    const edges = [
      64, 1024, 2048, 3072, 4096, 7168, 32_768, 64_512, 65_536, 66_560, 131_072, 196_608, 262_144,
    ];
    for (const edge of edges) {
      for (const lengthBytes of [edge - 65, edge - 64, edge - 1, edge, edge + 1, edge + 63, edge + 64]) {
        if (lengthBytes < 0) continue;
        const bytes = input.subarray(0, lengthBytes);
        const expected = peer(bytes);
        expect(digest(bytes, lengthBytes % 16), `${lengthBytes} bytes, SEED=${SEED}`).toBe(expected);
        if (edge <= 4096) expect(toHex(noble(bytes))).toBe(expected);
      }
    }
  });

  it('agrees with a library on random lengths', () => {
    const random = randomFrom(SEED + 1);
    const input = randomBytes(random, 300_000);
    for (let i = 0; i < 40; i++) {
      const lengthBytes = random() % (i < 30 ? 20_000 : input.length);
      const from = random() % (input.length - lengthBytes);
      const bytes = input.subarray(from, from + lengthBytes);
      expect(digest(bytes, i % 16), `${lengthBytes} bytes from ${from}, SEED=${SEED}`).toBe(peer(bytes));
    }
  });

  it.each(PAGE_SIZES)('digests pages of %i bytes as if each were alone', (pageBytes) => {
    const random = randomFrom(SEED + pageBytes);
    const input = randomBytes(random, pageBytes * 33);
    const expected = Array.from({ length: 33 }, (_, i) =>
      peer(input.subarray(i * pageBytes, (i + 1) * pageBytes)),
    );
    // The reference digests each page alone, so a few counts say it all, and it is slow.
    for (const pageCount of build === 'reference' ? [3] : PAGE_COUNTS) {
      const field = new Field(kernels, random);
      const pages = field.put(input.subarray(0, pageBytes * pageCount));
      const digests = field.room(32 * pageCount);
      field.run(() => kernels.digestPages(pages, pageBytes, pageCount, digests));
      const actual = Array.from({ length: pageCount }, (_, i) => toHex(field.read(digests + 32 * i, 32)));
      expect(actual, `${pageCount} pages, SEED=${SEED}`).toEqual(expected.slice(0, pageCount));
      field.close();
    }
  });
});

// The Kernels port: the data plane of Vitrine. Pointers and counts in, numbers out; no allocation, no exception
// for any input inside the arena. `reference.ts` defines what each kernel does, in plain TypeScript; the
// WebAssembly builds must agree with it bit for bit.
//
// Every argument of type Address is an offset into the arena's memory. Pages are `pageBytes` long, a power of two
// between 256 and 65,536; addresses may have any alignment. Digests are 32 bytes, bitmaps are bit `i & 7` of byte
// `i >> 3`, which on a little-endian machine is bit `i & 31` of 32-bit word `i >> 5`: the layout of `PageSet`.

import type { Arena } from './arena.ts';

/** Offset in the arena, in bytes. */
export type Address = number;

/** Which code runs: WebAssembly with SIMD, without it, or plain TypeScript. */
export type KernelBuild = 'simd' | 'plain' | 'reference';

export interface Kernels {
  readonly build: KernelBuild;
  /** The memory all addresses refer to. */
  readonly arena: Arena;

  /**
   * Sets bit `i` of `bits` where page `i` of `a` differs from page `i` of `b`, clears it where they are equal;
   * writes exactly `ceil(pageCount / 8)` bytes. Returns how many differ.
   */
  comparePages(a: Address, b: Address, pageBytes: number, pageCount: number, bits: Address): number;

  /** Sets bit `i` of `bits` where page `i` holds zeros alone. Returns how many do. */
  zeroPages(pages: Address, pageBytes: number, pageCount: number, bits: Address): number;

  /**
   * Sets bit `i` of `bits` where page `i` repeats one 8-byte pattern (zeros included), and writes that pattern to
   * `patterns + 8 * i`, zeros there otherwise. Returns how many do.
   */
  fillPages(pages: Address, pageBytes: number, pageCount: number, bits: Address, patterns: Address): number;

  /** Writes the BLAKE3-256 digest of page `i` to `digests + 32 * i`. */
  digestPages(pages: Address, pageBytes: number, pageCount: number, digests: Address): void;

  /** Writes the BLAKE3-256 digest of `lengthBytes` bytes, any number of them, to `digest`. */
  digestBytes(bytes: Address, lengthBytes: number, digest: Address): void;

  /** Writes `a xor b` to `out` (which may be `a` or `b`). Returns how many of the bytes differ. */
  xorBytes(a: Address, b: Address, out: Address, lengthBytes: number): number;

  /**
   * Writes the sparse form of bytes, a multiple of 64 of them, to `out`: `wasm/pack-sparse.ts` draws it. It needs room for
   * `sparseBytes(lengthBytes)` bytes, and what it leaves behind its result is anything. Returns the length.
   */
  packSparse(bytes: Address, lengthBytes: number, out: Address): number;

  /**
   * Writes the `lengthBytes` bytes, a multiple of 64, whose sparse form `packed` is. Returns 1; or 0, with nothing written,
   * for what is not the sparse form of so many bytes.
   */
  unpackSparse(packed: Address, packedBytes: number, out: Address, lengthBytes: number): number;

  /** Copies page `list[i]` (32-bit indices) of `pages` to page `i` of `out`. */
  gatherPages(pages: Address, list: Address, pageBytes: number, count: number, out: Address): void;

  /** Copies page `i` of `from` to page `list[i]` of `pages`. */
  scatterPages(pages: Address, list: Address, pageBytes: number, count: number, from: Address): void;

  /** Writes the indices of the set bits below `bitCount`, ascending, as 32-bit integers. Returns how many. */
  listBits(bits: Address, bitCount: number, list: Address): number;

  /** How many of the first `bitCount` bits are set. */
  countBits(bits: Address, bitCount: number): number;

  /** `into |= from` over `lengthBytes` bytes. */
  orBits(into: Address, from: Address, lengthBytes: number): void;

  /** `into &= ~from` over `lengthBytes` bytes. */
  andNotBits(into: Address, from: Address, lengthBytes: number): void;
}

/** The most that the sparse form of so many bytes takes: a line of words that are not zero, its mask, its bit. */
export function sparseBytes(lengthBytes: number): number {
  return lengthBytes + lengthBytes / 32 + Math.ceil(lengthBytes / 512);
}

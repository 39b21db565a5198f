// The kernels in plain TypeScript: what each one means, and what runs where WebAssembly does not.
//
// Byte by byte and without tricks on purpose; the WebAssembly builds are tested against this file. Its memory is an
// ArrayBuffer that is replaced by a larger one when it grows, as WebAssembly's is.

import { Arena, type ArenaMemory } from './arena.ts';
import { blake3 } from './blake3.ts';
import type { Address, KernelBuild, Kernels } from './kernels.ts';

const WASM_PAGE_BYTES = 65_536;
const DIGEST_BYTES = 32;
const PATTERN_BYTES = 8;
/** Zeros are passed over by lines of so many bytes in the sparse form. */
const LINE_BYTES = 64;

/** Kernels over a new arena that takes at most `maxBytes`. */
export function createReferenceKernels(maxBytes: number): Kernels {
  return new ReferenceKernels(new Arena(new PlainMemory(maxBytes)));
}

class ReferenceKernels implements Kernels {
  readonly build: KernelBuild = 'reference';
  readonly arena: Arena;

  constructor(arena: Arena) {
    this.arena = arena;
  }

  comparePages(a: Address, b: Address, pageBytes: number, pageCount: number, bits: Address): number {
    const left = this.arena.bytes(a, pageBytes * pageCount);
    const right = this.arena.bytes(b, pageBytes * pageCount);
    return this.#mark(bits, pageCount, (page) => {
      const end = (page + 1) * pageBytes;
      for (let i = page * pageBytes; i < end; i++) if (left[i] !== right[i]) return true;
      return false;
    });
  }

  zeroPages(pages: Address, pageBytes: number, pageCount: number, bits: Address): number {
    const bytes = this.arena.bytes(pages, pageBytes * pageCount);
    return this.#mark(bits, pageCount, (page) => {
      const end = (page + 1) * pageBytes;
      for (let i = page * pageBytes; i < end; i++) if (bytes[i] !== 0) return false;
      return true;
    });
  }

  fillPages(pages: Address, pageBytes: number, pageCount: number, bits: Address, patterns: Address): number {
    const bytes = this.arena.bytes(pages, pageBytes * pageCount);
    const out = this.arena.bytes(patterns, PATTERN_BYTES * pageCount);
    return this.#mark(bits, pageCount, (page) => {
      const start = page * pageBytes;
      const pattern = bytes.slice(start, start + PATTERN_BYTES);
      let repeats = true;
      for (let i = PATTERN_BYTES; i < pageBytes && repeats; i++) {
        repeats = bytes[start + i] === pattern[i % PATTERN_BYTES];
      }
      out.set(repeats ? pattern : pattern.fill(0), PATTERN_BYTES * page);
      return repeats;
    });
  }

  digestPages(pages: Address, pageBytes: number, pageCount: number, digests: Address): void {
    for (let page = 0; page < pageCount; page++) {
      this.digestBytes(pages + page * pageBytes, pageBytes, digests + page * DIGEST_BYTES);
    }
  }

  digestBytes(bytes: Address, lengthBytes: number, digest: Address): void {
    blake3(this.arena.bytes(bytes, lengthBytes), this.arena.bytes(digest, DIGEST_BYTES));
  }

  xorBytes(a: Address, b: Address, out: Address, lengthBytes: number): number {
    const left = this.arena.bytes(a, lengthBytes);
    const right = this.arena.bytes(b, lengthBytes);
    const target = this.arena.bytes(out, lengthBytes);
    let different = 0;
    for (let i = 0; i < lengthBytes; i++) {
      const delta = left[i]! ^ right[i]!;
      target[i] = delta;
      if (delta !== 0) different++;
    }
    return different;
  }

  packSparse(bytes: Address, lengthBytes: number, out: Address): number {
    const from = this.arena.bytes(bytes, lengthBytes);
    const map = new Uint8Array(Math.ceil(lengthBytes / (8 * LINE_BYTES)));
    const masks: number[] = [];
    const words: number[] = [];
    for (let line = 0; line < lengthBytes / LINE_BYTES; line++) {
      let mask = 0;
      for (let word = 0; word < LINE_BYTES / 4; word++) {
        const at = line * LINE_BYTES + 4 * word;
        const content = from.subarray(at, at + 4);
        if (content.every((byte) => byte === 0)) continue;
        mask |= 1 << word;
        words.push(...content);
      }
      if (mask === 0) continue;
      map[line >> 3]! |= 1 << (line & 7);
      masks.push(mask & 255, mask >> 8);
    }
    const packed = [...map, ...masks, ...words];
    this.arena.bytes(out, packed.length).set(packed);
    return packed.length;
  }

  unpackSparse(packed: Address, packedBytes: number, out: Address, lengthBytes: number): number {
    const from = this.arena.bytes(packed, packedBytes);
    const lines = lengthBytes / LINE_BYTES;
    const map = from.subarray(0, Math.ceil(lines / 8));
    const marked: number[] = [];
    for (let bit = 0; bit < 8 * map.length; bit++) if (isSet(map, bit)) marked.push(bit);
    const masks = from.subarray(map.length, map.length + 2 * marked.length);
    if (map.length < Math.ceil(lines / 8) || masks.length < 2 * marked.length) return 0;
    if (marked.some((line, i) => line >= lines || (masks[2 * i] === 0 && masks[2 * i + 1] === 0))) return 0;
    const places: number[] = [];
    for (const [i, line] of marked.entries()) {
      for (let word = 0; word < LINE_BYTES / 4; word++) {
        if (isSet(masks, 16 * i + word)) places.push(line * LINE_BYTES + 4 * word);
      }
    }
    const words = from.slice(map.length + masks.length);
    if (words.length !== 4 * places.length) return 0;
    const bytes = this.arena.bytes(out, lengthBytes).fill(0);
    for (const [i, at] of places.entries()) bytes.set(words.subarray(4 * i, 4 * i + 4), at);
    return 1;
  }

  gatherPages(pages: Address, list: Address, pageBytes: number, count: number, out: Address): void {
    for (let i = 0; i < count; i++) {
      const page = this.arena.bytes(pages + this.#index(list, i) * pageBytes, pageBytes);
      this.arena.bytes(out + i * pageBytes, pageBytes).set(page);
    }
  }

  scatterPages(pages: Address, list: Address, pageBytes: number, count: number, from: Address): void {
    for (let i = 0; i < count; i++) {
      const page = this.arena.bytes(from + i * pageBytes, pageBytes);
      this.arena.bytes(pages + this.#index(list, i) * pageBytes, pageBytes).set(page);
    }
  }

  listBits(bits: Address, bitCount: number, list: Address): number {
    const bitmap = this.arena.bytes(bits, Math.ceil(bitCount / 8));
    const out = new DataView(this.arena.memory.buffer, list);
    let count = 0;
    for (let i = 0; i < bitCount; i++) {
      if (isSet(bitmap, i)) out.setUint32(4 * count++, i, true);
    }
    return count;
  }

  countBits(bits: Address, bitCount: number): number {
    const bitmap = this.arena.bytes(bits, Math.ceil(bitCount / 8));
    let count = 0;
    for (let i = 0; i < bitCount; i++) if (isSet(bitmap, i)) count++;
    return count;
  }

  orBits(into: Address, from: Address, lengthBytes: number): void {
    const target = this.arena.bytes(into, lengthBytes);
    const source = this.arena.bytes(from, lengthBytes);
    for (let i = 0; i < lengthBytes; i++) target[i]! |= source[i]!;
  }

  andNotBits(into: Address, from: Address, lengthBytes: number): void {
    const target = this.arena.bytes(into, lengthBytes);
    const source = this.arena.bytes(from, lengthBytes);
    for (let i = 0; i < lengthBytes; i++) target[i]! &= ~source[i]!;
  }

  /** Writes the bitmap of the pages for which `test` holds and returns how many they are. */
  #mark(bits: Address, pageCount: number, test: (page: number) => boolean): number {
    const bitmap = this.arena.bytes(bits, Math.ceil(pageCount / 8));
    bitmap.fill(0);
    let count = 0;
    for (let page = 0; page < pageCount; page++) {
      if (!test(page)) continue;
      bitmap[page >> 3]! |= 1 << (page & 7);
      count++;
    }
    return count;
  }

  /** The list may have any alignment, which a Uint32Array may not. */
  #index(list: Address, i: number): number {
    return new DataView(this.arena.memory.buffer, list + 4 * i, 4).getUint32(0, true);
  }
}

function isSet(bitmap: Uint8Array, i: number): boolean {
  return ((bitmap[i >> 3]! >> (i & 7)) & 1) !== 0;
}

/** What WebAssembly.Memory is, in plain JavaScript. */
class PlainMemory implements ArenaMemory {
  readonly #maxBytes: number;
  #buffer = new ArrayBuffer(WASM_PAGE_BYTES);

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get buffer(): ArrayBuffer {
    return this.#buffer;
  }

  grow(pages: number): number {
    const before = this.#buffer.byteLength;
    const needed = before + pages * WASM_PAGE_BYTES;
    if (needed > this.#maxBytes) throw new RangeError(`memory of ${needed} bytes, at most ${this.#maxBytes}`);
    // Half as much again, since growing copies: many small allocations stay linear in their sum.
    const roomy = Math.min(this.#maxBytes, Math.max(needed, Math.floor(before * 1.5)));
    const larger = new ArrayBuffer(Math.floor(roomy / WASM_PAGE_BYTES) * WASM_PAGE_BYTES);
    new Uint8Array(larger).set(new Uint8Array(this.#buffer));
    this.#buffer = larger;
    return before / WASM_PAGE_BYTES;
  }
}

// Guest memory by physical address, live or stored: what everything here reads from. Bytes come in chunks that are kept for a
// while, since structures of a kernel lie close together and a stored page has to be decoded.
//
// A guest's memory is untrusted, and that of a running guest changes while it is read: what is read is copied, then parsed,
// and every count in it is bounded.

import type { OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { KIB, MIB } from '../../base/limits.ts';

/** A run of physical addresses that hold RAM. */
export interface PhysicalRange {
  readonly address: number;
  readonly lengthBytes: number;
}

/** Reads physical memory; the range asked for lies in one of the ranges. */
export type ReadPhysical = (address: number, lengthBytes: number) => Promise<Uint8Array>;

const CHUNK_BYTES = 64 * KIB;
const MAX_KEPT_CHUNKS = 256;
const SCAN_BYTES = MIB;

export class PhysicalMemory {
  readonly ranges: readonly PhysicalRange[];
  readonly #read: ReadPhysical;
  readonly #chunks = new Map<number, Uint8Array>();

  constructor(ranges: readonly PhysicalRange[], read: ReadPhysical) {
    this.ranges = ranges;
    this.#read = read;
  }

  /** Throws `span-out-of-range` where there is no RAM. */
  async read(address: number, lengthBytes: number): Promise<OwnedBytes> {
    const bytes = new Uint8Array(lengthBytes);
    for (let done = 0; done < lengthBytes; ) {
      const at = address + done;
      const start = at - (at % CHUNK_BYTES);
      const chunk = await this.#chunk(start, at);
      const part = chunk.subarray(at - start, at - start + lengthBytes - done);
      if (part.length === 0) throw new VitrineError('span-out-of-range', { address: at });
      bytes.set(part, done);
      done += part.length;
    }
    return bytes;
  }

  /** All of it, from the lowest address on, in pieces that begin at page boundaries. */
  async *pieces(): AsyncGenerator<{ readonly address: number; readonly bytes: Uint8Array }> {
    for (const range of this.ranges) {
      let { address } = range;
      for await (const bytes of this.piecesOf(range)) {
        yield { address, bytes };
        address += bytes.length;
      }
    }
  }

  /** All of a range, in pieces of 1 MiB. */
  async *piecesOf({ address, lengthBytes }: PhysicalRange): AsyncGenerator<Uint8Array> {
    for (let done = 0; done < lengthBytes; done += SCAN_BYTES) {
      yield await this.#read(address + done, Math.min(SCAN_BYTES, lengthBytes - done));
    }
  }

  async #chunk(start: number, at: number): Promise<Uint8Array> {
    const known = this.#chunks.get(start);
    if (known !== undefined) return known;
    const range = this.ranges.find((one) => at >= one.address && at - one.address < one.lengthBytes);
    // A chunk may begin below its range only where ranges do not begin at multiples of it, which RAM's do.
    if (range === undefined || start < range.address)
      throw new VitrineError('span-out-of-range', { address: at });
    const length = Math.min(CHUNK_BYTES, range.address + range.lengthBytes - start);
    const chunk = await this.#read(start, length);
    if (this.#chunks.size >= MAX_KEPT_CHUNKS) {
      const [oldest] = this.#chunks.keys();
      this.#chunks.delete(oldest!);
    }
    this.#chunks.set(start, chunk);
    return chunk;
  }
}

// Memory as a program sees it: an address space over physical memory.

import type { OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { type AddressSpace, translate } from './page-walk.ts';
import type { PhysicalMemory, PhysicalRange } from './physical-memory.ts';

export class VirtualMemory {
  readonly physical: PhysicalMemory;
  readonly space: AddressSpace;

  constructor(physical: PhysicalMemory, space: AddressSpace) {
    this.physical = physical;
    this.space = space;
  }

  /** Bytes of a pointer. */
  get pointerBytes(): 4 | 8 {
    return this.space.paging === '4-level' || this.space.paging === '5-level' ? 8 : 4;
  }

  /** Where a virtual range lies, in order; neighbours are one. Throws `span-out-of-range` with the first address that is not mapped. */
  async ranges(address: bigint, lengthBytes: number): Promise<PhysicalRange[]> {
    const found: { address: number; lengthBytes: number }[] = [];
    for (let done = 0; done < lengthBytes; ) {
      const at = address + BigInt(done);
      const here = await translate(this.physical, this.space, at);
      if (here === undefined)
        throw new VitrineError('span-out-of-range', { virtual: `0x${at.toString(16)}` });
      const length = Math.min(here.lengthBytes, lengthBytes - done);
      const last = found.at(-1);
      if (last !== undefined && last.address + last.lengthBytes === here.address) last.lengthBytes += length;
      else found.push({ address: here.address, lengthBytes: length });
      done += length;
    }
    return found;
  }

  async read(address: bigint, lengthBytes: number): Promise<OwnedBytes> {
    const bytes = new Uint8Array(lengthBytes);
    let at = 0;
    for (const range of await this.ranges(address, lengthBytes)) {
      bytes.set(await this.physical.read(range.address, range.lengthBytes), at);
      at += range.lengthBytes;
    }
    return bytes;
  }

  async u32(address: bigint): Promise<number> {
    return new DataView((await this.read(address, 4)).buffer).getUint32(0, true);
  }

  async u64(address: bigint): Promise<bigint> {
    return new DataView((await this.read(address, 8)).buffer).getBigUint64(0, true);
  }

  /** A pointer, or C's `unsigned long`. */
  async long(address: bigint): Promise<bigint> {
    return this.pointerBytes === 8 ? this.u64(address) : BigInt(await this.u32(address));
  }

  /** A C string, cut at `maxBytes`. */
  async text(address: bigint, maxBytes: number): Promise<string> {
    return textIn(await this.read(address, maxBytes));
  }
}

/** The C string at the beginning of bytes; unprintable ones are escaped, since they go to terminals. */
export function textIn(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return printable(Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8'));
}

/** Control characters as `\x1b`: a guest must not be able to drive the terminal of who looks at it. */
export function printable(text: string): string {
  // Tabs and line ends stay.
  return text.replace(/(?![\t\n])\p{Cc}/gu, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

// Files of memory, read by a reader of their formats that shares nothing with what wrote them.

import { describe, expect, it } from 'vitest';
import { memoryImage } from '../../../src/host/forensics/memory-image.ts';
import { PhysicalMemory, type PhysicalRange } from '../../../src/host/forensics/physical-memory.ts';
import { Random } from '../../../src/testing/random.ts';
import { seedOfRun } from '../../support/seed.ts';

const PAGE_BYTES = 4096;
/** As a PC has it, small: RAM below a hole, and above it; not in order. */
const RANGES: readonly PhysicalRange[] = [
  { address: 0x40_0000, lengthBytes: 3 * 1024 * 1024 },
  { address: 0, lengthBytes: 0xa_0000 },
  { address: 0x10_0000, lengthBytes: 0x5000 },
];
const END = 0x70_0000;

const bytes = new Uint8Array(END);
const random = new Random(seedOfRun());
for (const { address, lengthBytes } of RANGES) {
  for (let at = address; at < address + lengthBytes; at += 64) bytes[at] = random.below(256);
}
const memory = new PhysicalMemory(RANGES, async (address, lengthBytes) =>
  bytes.slice(address, address + lengthBytes),
);

async function fileOf(format: 'elf' | 'lime' | 'raw'): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of memoryImage(memory, format)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

const inOrder = [...RANGES].sort((a, b) => a.address - b.address);

describe('an image of memory', () => {
  it('in ELF has each run of RAM at its address, at a page of the file', async () => {
    const file = await fileOf('elf');
    expect(file.subarray(0, 7).toString('hex')).toBe('7f454c46020101');
    expect([file.readUInt16LE(16), file.readUInt16LE(18)]).toEqual([4, 62]);
    const [at, size, count] = [file.readBigUInt64LE(32), file.readUInt16LE(54), file.readUInt16LE(56)];
    expect(count).toBe(RANGES.length);
    let end = 0;
    for (const [index, { address, lengthBytes }] of inOrder.entries()) {
      const header = file.subarray(Number(at) + index * size);
      expect(header.readUInt32LE(0)).toBe(1);
      const offset = Number(header.readBigUInt64LE(8));
      expect(offset % PAGE_BYTES).toBe(0);
      expect([header.readBigUInt64LE(16), header.readBigUInt64LE(24)]).toEqual([
        BigInt(address),
        BigInt(address),
      ]);
      expect([header.readBigUInt64LE(32), header.readBigUInt64LE(40)]).toEqual([
        BigInt(lengthBytes),
        BigInt(lengthBytes),
      ]);
      end = offset + lengthBytes;
      expect(file.subarray(offset, end).equals(bytes.subarray(address, address + lengthBytes))).toBe(true);
    }
    expect(file.length).toBe(end);
  });

  it('in LiME has a header before each run, with its first and last address', async () => {
    const file = await fileOf('lime');
    let at = 0;
    for (const { address, lengthBytes } of inOrder) {
      expect(file.subarray(at, at + 8).toString('hex')).toBe('454d694c01000000');
      expect(file.readBigUInt64LE(at + 8)).toBe(BigInt(address));
      expect(file.readBigUInt64LE(at + 16)).toBe(BigInt(address + lengthBytes - 1));
      expect(file.readBigUInt64LE(at + 24)).toBe(0n);
      at += 32;
      expect(file.subarray(at, at + lengthBytes).equals(bytes.subarray(address, address + lengthBytes))).toBe(
        true,
      );
      at += lengthBytes;
    }
    expect(file.length).toBe(at);
  });

  it('raw has each byte at its address', async () => {
    const file = await fileOf('raw');
    expect(file.equals(bytes)).toBe(true);
  });
});

// Physical memory as a file that other tools read: Volatility, crash, makedumpfile, gdb, readelf.
//
//   elf    an ELF core of 64 bits: a PT_LOAD for each run of RAM, at its physical address, and as a PT_NOTE what a Linux
//          kernel notes about itself (VMCOREINFO), by which tools find it; as QEMU's `dump-guest-memory` and kdump write
//   lime   LiME's format, version 1: each run of RAM behind a header of 32 bytes
//   raw    the byte of physical address N at offset N; zeros where there is no RAM
//
// Sources: the ELF specification (System V ABI, chapter 4 and 5), LiME's format description.

import type { OwnedBytes } from '../../base/bytes.ts';
import { isVitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import { LinuxKernel } from './linux-kernel.ts';
import type { PhysicalMemory, PhysicalRange } from './physical-memory.ts';

export const IMAGE_FORMATS = ['elf', 'lime', 'raw'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

const ELF = {
  headerBytes: 64,
  programHeaderBytes: 56,
  core: 4,
  x86_64: 62,
  load: 1,
  note: 4,
  readWrite: 6,
} as const;
const LIME = { magic: 0x4c69_4d45, version: 1, headerBytes: 32 } as const;
const NOTE_NAME = 'VMCOREINFO';
const NOTE_HEADER_BYTES = 12;
/** Contents of the file begin at pages, so that it can be mapped. */
const PAGE_BYTES = 4096;
const ZEROS = new Uint8Array(MIB);

/**
 * The file, piece by piece, some MiB at most at a time. A piece is good until the next one is asked for. `elf` reads all of
 * memory once before, to find the kernel's note.
 *
 * @example for await (const piece of memoryImage(await memoryOfSnapshot(vitrine, id), 'elf')) await file.write(piece);
 */
export async function* memoryImage(memory: PhysicalMemory, format: ImageFormat): AsyncGenerator<Uint8Array> {
  const ranges = [...memory.ranges].sort((a, b) => a.address - b.address);
  if (format === 'elf') yield elfHead(ranges, await noteIn(memory));
  let at = 0;
  for (const range of ranges) {
    if (format === 'lime') yield limeHeader(range);
    if (format === 'raw') yield* zeros(range.address - at);
    at = range.address + range.lengthBytes;
    yield* memory.piecesOf(range);
  }
}

/** What the kernel in there notes about itself; none where no Linux is found. */
async function noteIn(memory: PhysicalMemory): Promise<string | undefined> {
  try {
    return (await LinuxKernel.find(memory)).notes.text;
  } catch (error) {
    if (isVitrineError(error, 'not-found')) return undefined;
    throw error;
  }
}

function* zeros(lengthBytes: number): Generator<Uint8Array> {
  for (let left = lengthBytes; left > 0; left -= ZEROS.length) {
    yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
  }
}

function limeHeader({ address, lengthBytes }: PhysicalRange): OwnedBytes {
  const header = new Uint8Array(LIME.headerBytes);
  const view = new DataView(header.buffer);
  view.setUint32(0, LIME.magic, true);
  view.setUint32(4, LIME.version, true);
  view.setBigUint64(8, BigInt(address), true);
  // The last byte and not the one behind it.
  view.setBigUint64(16, BigInt(address + lengthBytes - 1), true);
  return header;
}

/** Everything before the first byte of RAM. */
function elfHead(ranges: readonly PhysicalRange[], text: string | undefined): OwnedBytes {
  const note = text === undefined ? new Uint8Array(0) : elfNote(text);
  const count = ranges.length + (text === undefined ? 0 : 1);
  const noteAt = ELF.headerBytes + count * ELF.programHeaderBytes;
  const loadAt = Math.ceil((noteAt + note.length) / PAGE_BYTES) * PAGE_BYTES;
  const head = new Uint8Array(loadAt);
  const view = new DataView(head.buffer);
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // ELF, of 64 bits, little-endian, version 1
  view.setUint16(16, ELF.core, true);
  view.setUint16(18, ELF.x86_64, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(32, BigInt(ELF.headerBytes), true);
  view.setUint16(52, ELF.headerBytes, true);
  view.setUint16(54, ELF.programHeaderBytes, true);
  view.setUint16(56, count, true);
  let at = ELF.headerBytes;
  const segment = (
    type: number,
    flags: number,
    offset: number,
    address: number,
    lengthBytes: number,
  ): void => {
    view.setUint32(at, type, true);
    view.setUint32(at + 4, flags, true);
    view.setBigUint64(at + 8, BigInt(offset), true);
    // As virtual addresses too: a debugger then shows memory by its physical ones.
    view.setBigUint64(at + 16, BigInt(address), true);
    view.setBigUint64(at + 24, BigInt(address), true);
    view.setBigUint64(at + 32, BigInt(lengthBytes), true);
    view.setBigUint64(at + 40, BigInt(lengthBytes), true);
    at += ELF.programHeaderBytes;
  };
  if (text !== undefined) segment(ELF.note, 0, noteAt, 0, note.length);
  let offset = loadAt;
  for (const { address, lengthBytes } of ranges) {
    segment(ELF.load, ELF.readWrite, offset, address, lengthBytes);
    offset += lengthBytes;
  }
  head.set(note, noteAt);
  return head;
}

/** Lengths of name and text, a type of 0, both padded to words. */
function elfNote(text: string): OwnedBytes {
  const name = Buffer.from(`${NOTE_NAME}\0`, 'latin1');
  const body = Buffer.from(text, 'latin1');
  const padded = (length: number): number => Math.ceil(length / 4) * 4;
  const note = new Uint8Array(NOTE_HEADER_BYTES + padded(name.length) + padded(body.length));
  const view = new DataView(note.buffer);
  view.setUint32(0, name.length, true);
  view.setUint32(4, body.length, true);
  note.set(name, NOTE_HEADER_BYTES);
  note.set(body, NOTE_HEADER_BYTES + padded(name.length));
  return note;
}

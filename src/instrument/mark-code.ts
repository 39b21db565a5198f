// The code that marks, and the functions that are added for what takes more than a few instructions.
//
// The map's base is a global, since growth moves the map; where the memory cannot grow it is a constant.

import { OP } from './code-reader.ts';
import { CodeWriter } from './code-writer.ts';
import { type MapLayout, WASM_PAGE_BYTES } from './map-layout.ts';

/** Indices of what is added to the module, and where the map is. */
export interface MarkTarget {
  readonly layout: MapLayout;
  /** The address of the map where it never moves. */
  readonly fixedBase: number | undefined;
  readonly baseGlobal: number;
  /** `(address, length)`: marks a range. */
  readonly markRange: number;
  /** `(pages) → former size or -1`: grows the guest's memory. */
  readonly grow: number;
}

const EMPTY = 0x40;
const I32 = 0x7f;
const GLOBAL_SET = 0x24;
const RETURN = 0x0f;
const SUB = OP.i32Sub;
const ADD = OP.i32Add;

/** Marks the page of the address in a local, `delta` bytes on. */
export function writeMark(code: CodeWriter, local: number, delta: number, target: MarkTarget): void {
  code.indexed(OP.localGet, local);
  if (delta !== 0) {
    code.i32(delta);
    code.byte(ADD);
  }
  code.i32(target.layout.shift);
  code.byte(OP.i32ShrU);
  if (target.fixedBase === undefined) {
    code.indexed(OP.globalGet, target.baseGlobal);
    code.byte(ADD);
  }
  code.i32(1);
  writeStore8(code, target.fixedBase ?? 0);
}

/** Marks one page that is known now. */
export function writePageMark(code: CodeWriter, page: number, target: MarkTarget): void {
  if (target.fixedBase === undefined) code.indexed(OP.globalGet, target.baseGlobal);
  else code.i32(0);
  code.i32(1);
  writeStore8(code, (target.fixedBase ?? 0) + page);
}

/** The size that the guest sees. */
export function writeSize(code: CodeWriter, target: MarkTarget): void {
  code.byte(OP.memorySize);
  code.byte(0);
  code.i32(target.layout.extraPages);
  code.byte(SUB);
}

/** `(address, length)`: marks every page of a range that was written; nothing when it is empty. */
export function markRangeBody({ layout, baseGlobal }: MarkTarget): Uint8Array {
  const [address, length] = [0, 1];
  const code = new CodeWriter();
  code.unsigned(0);
  code.indexed(OP.localGet, length);
  code.byte(OP.if);
  code.byte(EMPTY);
  const pageOf = (): void => {
    code.i32(layout.shift);
    code.byte(OP.i32ShrU);
  };
  // memory.fill(base + first, 1, last - first + 1)
  code.indexed(OP.globalGet, baseGlobal);
  code.indexed(OP.localGet, address);
  pageOf();
  code.byte(ADD);
  code.i32(1);
  code.indexed(OP.localGet, address);
  code.indexed(OP.localGet, length);
  code.byte(ADD);
  code.i32(1);
  code.byte(SUB);
  pageOf();
  code.indexed(OP.localGet, address);
  pageOf();
  code.byte(SUB);
  code.i32(1);
  code.byte(ADD);
  writeFill(code);
  code.byte(OP.end);
  code.byte(OP.end);
  return code.written.slice();
}

/** `(pages) → former size or -1`: grows, moves the map to the new end and leaves zeros where it and its guard were. */
export function growBody({ layout, baseGlobal }: MarkTarget): Uint8Array {
  const [pages, former, base] = [0, 1, 2];
  const code = new CodeWriter();
  code.unsigned(1);
  code.unsigned(2);
  code.byte(I32);
  code.indexed(OP.localGet, pages);
  code.byte(OP.memoryGrow);
  code.byte(0);
  code.indexed(OP.localTee, former);
  code.i32(-1);
  code.byte(0x46); // i32.eq
  code.byte(OP.if);
  code.byte(EMPTY);
  code.i32(-1);
  code.byte(RETURN);
  code.byte(OP.end);
  code.indexed(OP.localGet, pages);
  code.byte(OP.if);
  code.byte(EMPTY);
  // The new base, and the map copied there.
  code.indexed(OP.globalGet, baseGlobal);
  code.indexed(OP.localTee, base);
  code.indexed(OP.localGet, pages);
  code.i32(16);
  code.byte(0x74); // i32.shl
  code.byte(ADD);
  code.indexed(GLOBAL_SET, baseGlobal);
  code.indexed(OP.globalGet, baseGlobal);
  code.indexed(OP.localGet, base);
  code.i32(layout.mapBytes);
  code.bytes(Uint8Array.of(0xfc, 10, 0, 0));
  // Zeros from the former guest end: all that was guard and map and belongs to the guest or the new guard now, which
  // is at most what was added, and at most the old map with its guard.
  const overlap = layout.extraPages * WASM_PAGE_BYTES;
  code.indexed(OP.localGet, base);
  code.i32(layout.pageBytes);
  code.byte(SUB);
  code.i32(0);
  code.indexed(OP.localGet, pages);
  code.i32(16);
  code.byte(0x74);
  code.i32(overlap);
  code.indexed(OP.localGet, pages);
  code.i32(layout.extraPages);
  code.byte(0x49); // i32.lt_u
  code.byte(OP.select);
  writeFill(code);
  code.byte(OP.end);
  code.indexed(OP.localGet, former);
  code.i32(layout.extraPages);
  code.byte(SUB);
  code.byte(OP.end);
  return code.written.slice();
}

/** Runs before the program does: finds the end of an imported memory. `start` is the module's own start function. */
export function initBody({ layout, baseGlobal }: MarkTarget, start: number | undefined): Uint8Array {
  const code = new CodeWriter();
  code.unsigned(0);
  code.byte(OP.memorySize);
  code.byte(0);
  code.i32(16);
  code.byte(0x74);
  code.i32(layout.mapBytes);
  code.byte(SUB);
  code.indexed(GLOBAL_SET, baseGlobal);
  if (start !== undefined) code.indexed(OP.call, start);
  code.byte(OP.end);
  return code.written.slice();
}

function writeStore8(code: CodeWriter, offset: number): void {
  code.byte(OP.i32Store8);
  code.byte(0);
  code.unsigned(offset);
}

function writeFill(code: CodeWriter): void {
  code.bytes(Uint8Array.of(0xfc, 11, 0));
}

// The code that touches the map: in front of stores, and in the functions that are added for what takes more than a few
// instructions. It stands before the store that it is for. Where the store would trap, the touch may trap in its place, in
// the same way; an address that the map has no room for is past the end of any memory.
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
  /** Holds the map's address where it may move. */
  readonly baseGlobal: number;
  /** `(address, length)`: touches a range. */
  readonly touchRange: number;
  /** `(address)`: what a store calls when the map says so. Barriers only. */
  readonly announce: number;
  /** `(pages) → former size or -1`: grows the guest's memory. */
  readonly grow: number;
  /** `() → pages`: the size of the guest's memory, where it is not the memory's. */
  readonly size: number;
}

export const EMPTY = 0x40;
export const I32 = 0x7f;

/** Touches the byte `delta` past the address in a local. `baseLocal` holds the map's base where that is no constant. */
export function writeTouch(
  code: CodeWriter,
  { local, delta, baseLocal }: { readonly local: number; readonly delta: number; readonly baseLocal: number },
  target: MarkTarget,
): void {
  const { layout, fixedBase } = target;
  writeAddress(code, local, delta);
  code.i32(layout.granuleShift);
  code.byte(OP.i32ShrU);
  if (fixedBase === undefined) {
    code.indexed(OP.localGet, baseLocal);
    code.byte(OP.i32Add);
  }
  if (layout.kind === 'marks') {
    code.i32(1);
    writeAccess(code, OP.i32Store8, fixedBase ?? 0);
    return;
  }
  writeAccess(code, OP.i32Load8U, fixedBase ?? 0);
  code.byte(OP.if);
  code.byte(EMPTY);
  writeAddress(code, local, delta);
  code.indexed(OP.call, target.announce);
  code.byte(OP.end);
}

/** Touches an address that is known now. */
export function writeTouchConstant(code: CodeWriter, address: number, target: MarkTarget): void {
  const { layout, fixedBase, baseGlobal } = target;
  const granule = Math.floor(address / 2 ** layout.granuleShift);
  if (fixedBase === undefined) code.indexed(OP.globalGet, baseGlobal);
  else code.i32(0);
  if (layout.kind === 'marks') {
    code.i32(1);
    writeAccess(code, OP.i32Store8, (fixedBase ?? 0) + granule);
    return;
  }
  writeAccess(code, OP.i32Load8U, (fixedBase ?? 0) + granule);
  code.byte(OP.if);
  code.byte(EMPTY);
  code.i32(address);
  code.indexed(OP.call, target.announce);
  code.byte(OP.end);
}

/** `(pages) → former size or -1`: grows, moves the map to the new end and leaves zeros where it and its guard were. */
export function growBody(target: MarkTarget): Uint8Array {
  const { layout, baseGlobal } = target;
  const [pages, former, base] = [0, 1, 2];
  const code = new CodeWriter();
  const bytesOf = (local: number): void => {
    code.indexed(OP.localGet, local);
    writeShift(code, OP.i32Shl, 16);
  };
  code.unsigned(1);
  code.unsigned(2);
  code.byte(I32);
  code.indexed(OP.localGet, pages);
  code.byte(OP.memoryGrow);
  code.byte(0);
  code.indexed(OP.localTee, former);
  code.i32(-1);
  code.byte(OP.i32Eq);
  code.byte(OP.if);
  code.byte(EMPTY);
  code.i32(-1);
  code.byte(OP.return);
  code.byte(OP.end);
  code.indexed(OP.localGet, pages);
  code.byte(OP.if);
  code.byte(EMPTY);
  // The new base, and what the map says of the former memory copied there.
  code.indexed(OP.globalGet, baseGlobal);
  code.indexed(OP.localTee, base);
  bytesOf(pages);
  code.byte(OP.i32Add);
  code.indexed(OP.globalSet, baseGlobal);
  code.indexed(OP.globalGet, baseGlobal);
  code.indexed(OP.localGet, base);
  const usedBytes = (): void => {
    bytesOf(former);
    writeShift(code, OP.i32ShrU, layout.granuleShift);
  };
  usedBytes();
  code.bytes(Uint8Array.of(0xfc, 10, 0, 0));
  // Of what is new nothing was touched. The bytes there may be those of the former map.
  code.indexed(OP.globalGet, baseGlobal);
  usedBytes();
  code.byte(OP.i32Add);
  code.i32(layout.kind === 'barriers' ? 1 : 0);
  bytesOf(pages);
  writeShift(code, OP.i32ShrU, layout.granuleShift);
  writeFill(code);
  // Zeros from the former guest end: all that was guard and map and belongs to the guest or the new guard now, which
  // is at most what was added, and at most the old map with its guard.
  const overlap = layout.extraPages * WASM_PAGE_BYTES;
  code.indexed(OP.localGet, base);
  code.i32(layout.pageBytes);
  code.byte(OP.i32Sub);
  code.i32(0);
  bytesOf(pages);
  code.i32(overlap);
  code.indexed(OP.localGet, pages);
  code.i32(layout.extraPages);
  code.byte(OP.i32LtU);
  code.byte(OP.select);
  writeFill(code);
  code.byte(OP.end);
  code.indexed(OP.localGet, former);
  code.i32(layout.extraPages);
  code.byte(OP.i32Sub);
  code.byte(OP.end);
  return code.written.slice();
}

/** Runs before the program does: finds the end of an imported memory. `start` is the module's own start function. */
export function initBody({ layout, baseGlobal }: MarkTarget, start: number | undefined): Uint8Array {
  const code = new CodeWriter();
  code.unsigned(0);
  code.byte(OP.memorySize);
  code.byte(0);
  writeShift(code, OP.i32Shl, 16);
  code.i32(layout.mapBytes);
  code.byte(OP.i32Sub);
  code.indexed(OP.globalSet, baseGlobal);
  if (start !== undefined) code.indexed(OP.call, start);
  code.byte(OP.end);
  return code.written.slice();
}

/** The size that the guest sees. */
export function writeSize(code: CodeWriter, { layout, size }: MarkTarget): void {
  if (layout.fixed !== undefined) {
    code.indexed(OP.call, size);
    return;
  }
  code.byte(OP.memorySize);
  code.byte(0);
  code.i32(layout.extraPages);
  code.byte(OP.i32Sub);
}

/** The map's address. */
export function writeBase(code: CodeWriter, { fixedBase, baseGlobal }: MarkTarget): void {
  if (fixedBase === undefined) code.indexed(OP.globalGet, baseGlobal);
  else code.i32(fixedBase);
}

/** A load or store of one byte with a static offset. */
export function writeAccess(code: CodeWriter, op: number, offset: number): void {
  code.byte(op);
  code.byte(0);
  code.unsigned(offset);
}

export function writeFill(code: CodeWriter): void {
  code.bytes(Uint8Array.of(0xfc, 11, 0));
}

export function writeShift(code: CodeWriter, op: number, bits: number): void {
  code.i32(bits);
  code.byte(op);
}

function writeAddress(code: CodeWriter, local: number, delta: number): void {
  code.indexed(OP.localGet, local);
  if (delta === 0) return;
  code.i32(delta);
  code.byte(OP.i32Add);
}

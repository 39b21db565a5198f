// The function that stands in front of `memory.copy`, `memory.fill` and `memory.init`: `(address, length)`, touches every page
// of the range, and none when it is empty. A range that leaves the guest's memory traps here as it would there.

import { OP } from './code-reader.ts';
import { CodeWriter } from './code-writer.ts';
import { GRANULES } from './map-layout.ts';
import {
  EMPTY,
  I32,
  type MarkTarget,
  writeAccess,
  writeBase,
  writeFill,
  writeShift,
  writeSize,
} from './mark-code.ts';

const [ADDRESS, LENGTH, FIRST, LAST] = [0, 1, 2, 3];
/** No memory has a byte there, since the map takes the last pages. */
const NOWHERE = -1;

export function touchRangeBody(target: MarkTarget): Uint8Array {
  const code = new CodeWriter();
  code.unsigned(1);
  code.unsigned(2);
  code.byte(I32);
  writeBoundsCheck(code, target);
  code.indexed(OP.localGet, LENGTH);
  code.byte(OP.i32Eqz);
  code.byte(OP.if);
  code.byte(EMPTY);
  code.byte(OP.return);
  code.byte(OP.end);
  const { pageShift, granuleShift } = target.layout;
  const isMarks = target.layout.kind === 'marks';
  writeEnds(code, isMarks ? granuleShift : pageShift);
  if (isMarks) writeMarks(code, target);
  else writeAnnouncements(code, target);
  code.byte(OP.end);
  return code.written.slice();
}

/** `address > size || length > size - address`, where the size is in `FIRST`. */
function writeBoundsCheck(code: CodeWriter, target: MarkTarget): void {
  writeSize(code, target);
  writeShift(code, OP.i32Shl, 16);
  code.indexed(OP.localTee, FIRST);
  code.indexed(OP.localGet, ADDRESS);
  code.byte(OP.i32LtU);
  code.indexed(OP.localGet, LENGTH);
  code.indexed(OP.localGet, FIRST);
  code.indexed(OP.localGet, ADDRESS);
  code.byte(OP.i32Sub);
  code.byte(OP.i32GtU);
  code.byte(0x72); // i32.or
  code.byte(OP.if);
  code.byte(EMPTY);
  code.i32(NOWHERE);
  writeAccess(code, OP.i32Load8U, 0);
  code.byte(OP.drop);
  code.byte(OP.end);
}

/** The granules or pages of the first and the last byte. */
function writeEnds(code: CodeWriter, shift: number): void {
  code.indexed(OP.localGet, ADDRESS);
  writeShift(code, OP.i32ShrU, shift);
  code.indexed(OP.localSet, FIRST);
  code.indexed(OP.localGet, ADDRESS);
  code.indexed(OP.localGet, LENGTH);
  code.byte(OP.i32Add);
  code.i32(1);
  code.byte(OP.i32Sub);
  writeShift(code, OP.i32ShrU, shift);
  code.indexed(OP.localSet, LAST);
}

/** One fill, over all granules of the range. Where it begins in the first of a page, the page before is taken along. */
function writeMarks(code: CodeWriter, target: MarkTarget): void {
  writeBase(code, target);
  code.indexed(OP.localGet, FIRST);
  code.byte(OP.i32Add);
  code.i32(1);
  code.indexed(OP.localGet, LAST);
  code.indexed(OP.localGet, FIRST);
  code.byte(OP.i32Sub);
  code.i32(1);
  code.byte(OP.i32Add);
  writeFill(code);
}

/** Page by page, by an address that is not in its first granule. */
function writeAnnouncements(code: CodeWriter, target: MarkTarget): void {
  const { pageShift, granuleShift } = target.layout;
  code.byte(OP.loop);
  code.byte(EMPTY);
  writeBase(code, target);
  code.indexed(OP.localGet, FIRST);
  writeShift(code, OP.i32Shl, Math.log2(GRANULES));
  code.byte(OP.i32Add);
  writeAccess(code, OP.i32Load8U, 1);
  code.byte(OP.if);
  code.byte(EMPTY);
  code.indexed(OP.localGet, FIRST);
  writeShift(code, OP.i32Shl, pageShift);
  code.i32(2 ** granuleShift);
  code.byte(OP.i32Add);
  code.indexed(OP.call, target.announce);
  code.byte(OP.end);
  code.indexed(OP.localGet, FIRST);
  code.i32(1);
  code.byte(OP.i32Add);
  code.indexed(OP.localTee, FIRST);
  code.indexed(OP.localGet, LAST);
  code.byte(0x4d); // i32.le_u
  code.indexed(OP.branchIf, 0);
  code.byte(OP.end);
}

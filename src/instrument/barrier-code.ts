// The functions behind a barrier. A store whose granule is untouched calls `announce` before it writes; that tells the host of
// each page in question, once, and the host copies it aside.
//
//   announce(address)   the page of the address, and the one before it when the address is in its first granule
//   tell(page)          unless it was told: calls the host's function when there is one, then touches the page
//
// The host's function is the only element of an added table, exported as `vitrine:hook`; a global, `vitrine:armed`, says
// whether it is to be called. Neither renumbers anything, which an import would.
//
// In a shared memory several threads may come at once: the first claims the page (1 → 2), the others wait until it
// is touched (0), which is no longer than the copy of one page. A fence stands between the copy's reads and the
// touch, so that no thread that sees the touch can write into what is still being read. The plain read in front of each store
// suffices: a store does not move ahead of a branch that it depends on.

import { OP } from './code-reader.ts';
import { CodeWriter } from './code-writer.ts';
import { GRANULES } from './map-layout.ts';
import { EMPTY, I32, type MarkTarget, writeAccess, writeBase, writeFill, writeShift } from './mark-code.ts';

/** Indices that only barriers need. */
export interface BarrierTarget extends MarkTarget {
  /** `(page)`: the function above. */
  readonly tell: number;
  readonly armedGlobal: number;
  readonly hookTable: number;
  /** The type of the host's function: `(page)`. */
  readonly hookType: number;
  readonly isShared: boolean;
}

const GRANULE_BITS = Math.log2(GRANULES);
const CLAIMED = 2;
const BRANCH_OUT = 1;

/** `(address)`. */
export function announceBody(target: BarrierTarget): Uint8Array {
  const { granuleShift } = target.layout;
  const [address, page] = [0, 1];
  const code = new CodeWriter();
  code.unsigned(1);
  code.unsigned(1);
  code.byte(I32);
  code.indexed(OP.localGet, address);
  writeShift(code, OP.i32ShrU, target.layout.pageShift);
  code.indexed(OP.localTee, page);
  code.indexed(OP.call, target.tell);
  code.indexed(OP.localGet, address);
  writeShift(code, OP.i32ShrU, granuleShift);
  code.i32(GRANULES - 1);
  code.byte(OP.i32And);
  code.byte(OP.i32Eqz);
  code.byte(OP.if);
  code.byte(EMPTY);
  code.indexed(OP.localGet, page);
  code.byte(OP.if);
  code.byte(EMPTY);
  code.indexed(OP.localGet, page);
  code.i32(1);
  code.byte(OP.i32Sub);
  code.indexed(OP.call, target.tell);
  code.byte(OP.end);
  // Both pages were told of: the first granule needs no call any more.
  writeState(code, target, page);
  code.i32(0);
  writeAccess(code, OP.i32Store8, 0);
  code.byte(OP.end);
  code.byte(OP.end);
  return code.written.slice();
}

/** `(page)`. */
export function tellBody(target: BarrierTarget): Uint8Array {
  const page = 0;
  const code = new CodeWriter();
  code.unsigned(0);
  if (target.isShared) writeClaim(code, target, page);
  else {
    writeState(code, target, page);
    writeAccess(code, OP.i32Load8U, 1);
    code.byte(OP.i32Eqz);
    code.byte(OP.if);
    code.byte(EMPTY);
    code.byte(OP.return);
    code.byte(OP.end);
  }
  code.indexed(OP.globalGet, target.armedGlobal);
  code.byte(OP.if);
  code.byte(EMPTY);
  code.indexed(OP.localGet, page);
  code.i32(0);
  code.indexed(OP.callIndirect, target.hookType);
  code.unsigned(target.hookTable);
  code.byte(OP.end);
  if (target.isShared) code.bytes(Uint8Array.of(0xfe, 3, 0)); // atomic.fence
  writeState(code, target, page);
  code.i32(1);
  code.byte(OP.i32Add);
  code.i32(0);
  code.i32(GRANULES - 1);
  writeFill(code);
  code.byte(OP.end);
  return code.written.slice();
}

/** Goes on with a page that this thread claimed; returns when it is touched, by whomever. */
function writeClaim(code: CodeWriter, target: BarrierTarget, page: number): void {
  code.byte(OP.block);
  code.byte(EMPTY);
  code.byte(OP.loop);
  code.byte(EMPTY);
  writeState(code, target, page);
  code.i32(1);
  code.i32(CLAIMED);
  writeAtomic(code, 0x4a, 1); // i32.atomic.rmw8.cmpxchg_u
  code.i32(1);
  code.byte(OP.i32Eq);
  code.indexed(OP.branchIf, BRANCH_OUT);
  writeState(code, target, page);
  writeAtomic(code, 0x12, 1); // i32.atomic.load8_u
  code.indexed(OP.branchIf, 0);
  code.byte(OP.return);
  code.byte(OP.end);
  code.byte(OP.end);
}

/** The address of the page's first granule in the map. */
function writeState(code: CodeWriter, target: MarkTarget, page: number): void {
  writeBase(code, target);
  code.indexed(OP.localGet, page);
  writeShift(code, OP.i32Shl, GRANULE_BITS);
  code.byte(OP.i32Add);
}

/** An atomic access of one byte; `op` without its prefix. */
function writeAtomic(code: CodeWriter, op: number, offset: number): void {
  code.byte(0xfe);
  code.unsigned(op);
  code.byte(0);
  code.unsigned(offset);
}

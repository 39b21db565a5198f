// The size of a guest whose memory has its full size from the start: shared memories, in which the map must not move, since
// another thread could not be told. How far the guest has grown is a word near the end of the memory, changed
// atomically; it starts as zero, as all memory does.

import { OP } from './code-reader.ts';
import { CodeWriter } from './code-writer.ts';
import type { MapLayout } from './map-layout.ts';
import { EMPTY, I32 } from './mark-code.ts';

/** `() → pages`. */
export function sizeBody(layout: MapLayout): Uint8Array {
  const code = new CodeWriter();
  code.unsigned(0);
  writeGrown(code, layout);
  code.i32(layout.fixed?.minimumPages ?? 0);
  code.byte(OP.i32Add);
  code.byte(OP.end);
  return code.written.slice();
}

/** `(pages) → former size or -1`. */
export function fixedGrowBody(layout: MapLayout): Uint8Array {
  const [pages, grown] = [0, 1];
  const minimumPages = layout.fixed?.minimumPages ?? 0;
  const code = new CodeWriter();
  code.unsigned(1);
  code.unsigned(1);
  code.byte(I32);
  code.byte(OP.loop);
  code.byte(EMPTY);
  writeGrown(code, layout);
  code.indexed(OP.localSet, grown);
  // What is left, as an unsigned number: `pages` may be any.
  code.indexed(OP.localGet, pages);
  code.i32(layout.maxPages - minimumPages);
  code.indexed(OP.localGet, grown);
  code.byte(OP.i32Sub);
  code.byte(OP.i32GtU);
  code.byte(OP.if);
  code.byte(EMPTY);
  code.i32(-1);
  code.byte(OP.return);
  code.byte(OP.end);
  code.i32(0);
  code.indexed(OP.localGet, grown);
  code.indexed(OP.localGet, grown);
  code.indexed(OP.localGet, pages);
  code.byte(OP.i32Add);
  writeWordAccess(code, 0x48, layout); // i32.atomic.rmw.cmpxchg
  code.indexed(OP.localGet, grown);
  code.byte(0x47); // i32.ne
  code.indexed(OP.branchIf, 0);
  code.byte(OP.end);
  code.indexed(OP.localGet, grown);
  code.i32(minimumPages);
  code.byte(OP.i32Add);
  code.byte(OP.end);
  return code.written.slice();
}

function writeGrown(code: CodeWriter, layout: MapLayout): void {
  code.i32(0);
  writeWordAccess(code, 0x10, layout); // i32.atomic.load
}

/** `op` without its prefix. */
function writeWordAccess(code: CodeWriter, op: number, layout: MapLayout): void {
  code.byte(0xfe);
  code.unsigned(op);
  code.byte(2);
  code.unsigned(layout.fixed?.sizeAddress ?? 0);
}

// What v86's program does before it writes to a page, as code: mark it, and while a barrier is armed that awaits it, copy it
// aside. One function, called from the hooks of `track-program.ts` and from JavaScript's own writers.
//
//   before(page):
//     if page < pages of RAM
//       map[page] = 1
//       if block ≠ 0 and block.state[page] ≠ 0 and compare-exchange(block.state[page], 1 → 0) = 1
//         if block.written - block.read < block.slots
//           number[written % slots] = page; slot[written % slots] = the page; written += 1
//         else spill(page), in JavaScript
//
// The layout of a block, and why the compare-exchange, is told in `memory/barrier-block.ts`. The instructions are atomic ones
// so that another thread may empty the ring; memory that is not shared takes them too.
//
// Encodings: WebAssembly 2.0, §5.4, and the threads proposal for the atomic instructions.

import { unsigned } from '../../instrument/module-sections.ts';
import { BARRIER_BLOCK, PAGE_STATE } from '../../memory/barrier-block.ts';

export const PAGE_BITS = 12;

export const OP = {
  if: [0x04, 0x40],
  else: 0x05,
  end: 0x0b,
  call: 0x10,
  callIndirect: 0x11,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  constant: 0x41,
  lessUnsigned: 0x49,
  add: 0x6a,
  subtract: 0x6b,
  remainderUnsigned: 0x70,
  and: 0x71,
  xor: 0x73,
  shiftLeft: 0x74,
  shiftRightUnsigned: 0x76,
  load: [0x28, 2],
  loadByte: [0x2d, 0],
  store: [0x36, 2],
  storeByte: [0x3a, 0],
  atomicLoad: [0xfe, 0x10, 2],
  atomicStore: [0xfe, 0x17, 2],
  exchangeByte: [0xfe, 0x4a, 0],
  memoryCopy: [0xfc, 0x0a, 0, 0],
} as const;

export const I32 = 0x7f;

/** 4,096 as a signed LEB128. */
const PAGE_BYTES = [0x80, 0x20];

/** Indices in the rewritten module. */
export interface BarrierIndices {
  /** Globals: the map of marks, the first page of RAM in memory, RAM's page count, and the block, 0 while disarmed. */
  readonly map: number;
  readonly first: number;
  readonly count: number;
  readonly block: number;
  /** The table whose first entry takes pages for which the ring has no room, and the type of that function. */
  readonly table: number;
  readonly type: number;
}

/** The body of `before(page)`. */
export function beforeWriteBody(at: BarrierIndices): number[] {
  const [page, block, written, slot] = [0, 1, 2, 3];
  const get = (local: number) => [OP.localGet, local];
  const field = (offset: number) => [...get(block), ...OP.load, offset];
  const statePlace = [...get(block), ...get(page), OP.add];
  return [
    ...[1, 3, I32],
    ...[...get(page), OP.globalGet, ...unsigned(at.count), OP.lessUnsigned, ...OP.if],
    ...[OP.globalGet, ...unsigned(at.map), ...get(page), OP.add, OP.constant, 1, ...OP.storeByte, 0],
    ...[OP.globalGet, ...unsigned(at.block), OP.localTee, block, ...OP.if],
    // A look first: the exchange is the dearer one, and most pages are not awaited.
    ...[...statePlace, ...OP.loadByte, BARRIER_BLOCK.states, ...OP.if],
    ...[...statePlace, OP.constant, PAGE_STATE.awaited, OP.constant, PAGE_STATE.free],
    ...[...OP.exchangeByte, BARRIER_BLOCK.states, ...OP.if],
    ...[...get(block), ...OP.atomicLoad, BARRIER_BLOCK.written, OP.localTee, written],
    ...[...get(block), ...OP.atomicLoad, BARRIER_BLOCK.read, OP.subtract],
    ...[...field(BARRIER_BLOCK.slotCount), OP.lessUnsigned, ...OP.if],
    ...[...get(written), ...field(BARRIER_BLOCK.slotCount), OP.remainderUnsigned, OP.localSet, slot],
    ...[...field(BARRIER_BLOCK.slots), ...get(slot), OP.constant, PAGE_BITS, OP.shiftLeft, OP.add],
    ...[OP.globalGet, ...unsigned(at.first), ...get(page), OP.add, OP.constant, PAGE_BITS, OP.shiftLeft],
    ...[OP.constant, ...PAGE_BYTES, ...OP.memoryCopy],
    ...[...field(BARRIER_BLOCK.numbers), ...get(slot), OP.constant, 2, OP.shiftLeft, OP.add],
    ...[...get(page), ...OP.store, 0],
    ...[...get(block), ...get(written), OP.constant, 1, OP.add, ...OP.atomicStore, BARRIER_BLOCK.written],
    ...[OP.else, ...get(page), OP.constant, 0],
    ...[OP.callIndirect, ...unsigned(at.type), ...unsigned(at.table), OP.end],
    ...[OP.end, OP.end, OP.end, OP.end, OP.end],
  ];
}

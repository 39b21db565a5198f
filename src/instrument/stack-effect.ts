// How many operands an instruction takes and leaves, where that is the same wherever it stands. It serves to find out
// what the address of a store is, so an answer of "unknown" costs a proof and never correctness.

import { OP, OPCODE_LIMIT, PREFIX } from './code-reader.ts';
import { STORES } from './stores.ts';

/** Taken and left: `taken * 4 + left`; undefined where nothing is known of the stack afterwards. */
export type StackEffect = number | undefined;

export function effectOf(taken: number, left: number): number {
  return taken * 4 + left;
}

const UNARY = effectOf(1, 1);
const BINARY = effectOf(2, 1);
const SOURCE = effectOf(0, 1);
const SINK = effectOf(1, 0);

const EFFECTS: ReadonlyMap<number, number> = new Map([
  ...range(0x28, 0x35, UNARY), // loads
  ...range(0x41, 0x44, SOURCE), // constants
  ...range(0x45, 0x45, UNARY), // comparisons
  ...range(0x46, 0x4f, BINARY),
  ...range(0x50, 0x50, UNARY),
  ...range(0x51, 0x66, BINARY),
  ...range(0x67, 0x69, UNARY), // i32
  ...range(0x6a, 0x78, BINARY),
  ...range(0x79, 0x7b, UNARY), // i64
  ...range(0x7c, 0x8a, BINARY),
  ...range(0x8b, 0x91, UNARY), // f32
  ...range(0x92, 0x98, BINARY),
  ...range(0x99, 0x9f, UNARY), // f64
  ...range(0xa0, 0xa6, BINARY),
  ...range(0xa7, 0xc4, UNARY), // conversions
  ...range(PREFIX.misc, PREFIX.misc + 7, UNARY),
  ...range(PREFIX.vector, PREFIX.vector + 10, UNARY), // loads
  ...range(PREFIX.vector + 12, PREFIX.vector + 12, SOURCE),
  ...range(PREFIX.atomic + 0x10, PREFIX.atomic + 0x16, UNARY),
  [0x01, effectOf(0, 0)],
  [OP.drop, SINK],
  [OP.select, effectOf(3, 1)],
  [0x1c, effectOf(3, 1)],
  [OP.localGet, SOURCE],
  [OP.localSet, SINK],
  [OP.localTee, UNARY],
  [OP.globalGet, SOURCE],
  [0x24, SINK],
  [0x25, UNARY],
  [0x26, effectOf(2, 0)],
  [OP.memorySize, SOURCE],
  [OP.memoryGrow, UNARY],
  [OP.memoryInit, effectOf(3, 0)],
  [OP.memoryCopy, effectOf(3, 0)],
  [OP.memoryFill, effectOf(3, 0)],
  [0xd0, SOURCE],
  [0xd1, UNARY],
  [0xd2, SOURCE],
  ...[...STORES].map(([op, { values, results }]): [number, number] => [op, effectOf(1 + values, results)]),
]);

const BY_OPCODE: readonly StackEffect[] = Array.from({ length: OPCODE_LIMIT }, (_, op) => EFFECTS.get(op));

/** The effect of an instruction that is neither a call nor control. */
export function stackEffect(op: number): StackEffect {
  return BY_OPCODE[op];
}

function range(first: number, last: number, effect: number): [number, number][] {
  return Array.from({ length: last - first + 1 }, (_, index) => [first + index, effect]);
}

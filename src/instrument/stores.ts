// Every instruction that writes to memory at one address: how many bytes, and what lies on the stack above the address.
// Those that write a range (`memory.copy`, `memory.fill`, `memory.init`) are not here.

import { OPCODE_LIMIT, PREFIX } from './code-reader.ts';

export interface StoreShape {
  readonly sizeBytes: number;
  /** The type of each operand above the address, as the binary format writes it. */
  readonly valueType: number;
  readonly values: 1 | 2;
  readonly results: 0 | 1;
}

const I32 = 0x7f;
const I64 = 0x7e;
const F32 = 0x7d;
const F64 = 0x7c;
const V128 = 0x7b;

/** Stores and each family of atomics come in this order: whole i32 and i64, then the narrow ones. */
const ATOMIC_ORDER = [
  [I32, 4],
  [I64, 8],
  [I32, 1],
  [I32, 2],
  [I64, 1],
  [I64, 2],
  [I64, 4],
] as const;
/** First opcodes: atomic stores; read-modify-writes (add, sub, and, or, xor, xchg); compare and exchange. */
const ATOMIC_STORE = 0x17;
const ATOMIC_CHANGES = [0x1e, 0x25, 0x2c, 0x33, 0x3a, 0x41];
const ATOMIC_COMPARE = 0x48;

/** By opcode. */
export const STORES: ReadonlyMap<number, StoreShape> = new Map([
  ...plain([
    [0x36, I32, 4],
    [0x37, I64, 8],
    [0x38, F32, 4],
    [0x39, F64, 8],
    [0x3a, I32, 1],
    [0x3b, I32, 2],
    [0x3c, I64, 1],
    [0x3d, I64, 2],
    [0x3e, I64, 4],
    [PREFIX.vector + 11, V128, 16],
    [PREFIX.vector + 88, V128, 1],
    [PREFIX.vector + 89, V128, 2],
    [PREFIX.vector + 90, V128, 4],
    [PREFIX.vector + 91, V128, 8],
  ]),
  ...atomic(ATOMIC_STORE, 1, 0),
  ...ATOMIC_CHANGES.flatMap((first) => atomic(first, 1, 1)),
  ...atomic(ATOMIC_COMPARE, 2, 1),
]);

function plain(rows: readonly (readonly [number, number, number])[]): [number, StoreShape][] {
  return rows.map(([op, valueType, sizeBytes]) => [op, { sizeBytes, valueType, values: 1, results: 0 }]);
}

function atomic(first: number, values: 1 | 2, results: 0 | 1): [number, StoreShape][] {
  return ATOMIC_ORDER.map(([valueType, sizeBytes], index) => [
    PREFIX.atomic + first + index,
    { sizeBytes, valueType, values, results },
  ]);
}

const BY_OPCODE: readonly (StoreShape | undefined)[] = Array.from({ length: OPCODE_LIMIT }, (_, op) =>
  STORES.get(op),
);

/** The store of that opcode, if it is one. */
export function storeOf(op: number): StoreShape | undefined {
  return BY_OPCODE[op];
}

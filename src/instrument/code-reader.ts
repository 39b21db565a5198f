// Instructions one after another: each opcode with those of its immediates that somebody asks for, the others passed
// over. An opcode that is not in the tables is refused with its offset, never guessed at: a wrong length would turn
// all that follows into other instructions.
//
// Covered: WebAssembly 3.0 without garbage collection (tail calls, exceptions old and new, typed function references,
// SIMD and relaxed SIMD, bulk memory, threads). Source: WebAssembly 3.0, §5.4; threads proposal, binary format.

import { VitrineError } from '../base/error.ts';
import { truncated } from './module-sections.ts';

/** Opcodes behind a prefix byte (0xfc, 0xfd, 0xfe) are added to these, so that all together are small numbers. */
export const PREFIX = { misc: 0x100, vector: 0x200, atomic: 0x400 } as const;
/** Above all of them. */
export const OPCODE_LIMIT = 0x480;

export const OP = {
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  branch: 0x0c,
  branchIf: 0x0d,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  delegate: 0x18,
  drop: 0x1a,
  select: 0x1b,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  i32Load8U: 0x2d,
  memorySize: 0x3f,
  memoryGrow: 0x40,
  i32Const: 0x41,
  i32Eqz: 0x45,
  i32Eq: 0x46,
  i32LtU: 0x49,
  i32GtU: 0x4b,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32And: 0x71,
  i32Shl: 0x74,
  i32ShrU: 0x76,
  i32Store8: 0x3a,
  memoryInit: PREFIX.misc + 8,
  memoryCopy: PREFIX.misc + 10,
  memoryFill: PREFIX.misc + 11,
} as const;

const MEMORY_INDEX_FLAG = 0x40;
/** An offset that no 32-bit memory has. */
const OFFSET_LIMIT = 2 ** 32;

export class CodeReader {
  readonly #bytes: Uint8Array;
  /** Where in the section the next instruction starts. */
  at: number;
  /** Where the last one starts. */
  start = 0;
  op = 0;
  /** Index of a local, function, type or lane; the value of an `i32.const`. */
  immediate = 0;
  /** The static offset of a load or store. */
  offset = 0;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** Reads one instruction. Throws `unsupported` for one that is not known, `argument-invalid` past the end. */
  next(): void {
    this.start = this.at;
    const byte = this.byte();
    if (byte === 0xfc) this.#misc();
    else if (byte === 0xfd) this.#vector();
    else if (byte === 0xfe) this.#atomic();
    else {
      this.op = byte;
      this.#plain(byte);
    }
  }

  byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw truncated(this.at);
    return byte;
  }

  /** An unsigned LEB128 integer, exact up to 2^53. */
  unsigned(): number {
    const first = this.#bytes[this.at];
    if (first !== undefined && first < 0x80) {
      this.at++;
      return first;
    }
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      if (scale > 2 ** 63) throw truncated(this.at);
    }
  }

  #plain(op: number): void {
    if ((op >= 0x45 && op <= 0xc4) || op === 0x0f) return;
    if (op >= 0x28 && op <= 0x3e) {
      this.#memoryArgument();
      return;
    }
    switch (op) {
      // unreachable, nop, else, throw_ref, end, catch_all, drop, select, ref.is_null, ref.eq, ref.as_non_null
      case 0x00:
      case 0x01:
      case 0x05:
      case 0x0a:
      case 0x0b:
      case 0x19:
      case 0x1a:
      case 0x1b:
      case 0xd1:
      case 0xd3:
      case 0xd4:
        return;
      // block, loop, if, try: a type
      case 0x02:
      case 0x03:
      case 0x04:
      case 0x06:
        this.valueType();
        return;
      // catch, throw, rethrow, br, br_if, call, return_call, call_ref, return_call_ref, delegate, locals, globals,
      // tables, ref.func, br_on_null, br_on_non_null: an index
      case 0x07:
      case 0x08:
      case 0x09:
      case 0x0c:
      case 0x0d:
      case 0x10:
      case 0x12:
      case 0x14:
      case 0x15:
      case 0x18:
      case 0x20:
      case 0x21:
      case 0x22:
      case 0x23:
      case 0x24:
      case 0x25:
      case 0x26:
      case 0xd2:
      case 0xd5:
      case 0xd6:
        this.immediate = this.unsigned();
        return;
      case 0x0e: // br_table
        for (let left = this.unsigned() + 1; left > 0; left--) this.unsigned();
        return;
      case 0x11: // call_indirect, return_call_indirect
      case 0x13:
        this.immediate = this.unsigned();
        this.unsigned();
        return;
      case 0x1c: // select with types
        for (let left = this.unsigned(); left > 0; left--) this.valueType();
        return;
      case 0x1f:
        this.#tryTable();
        return;
      case 0x3f: // memory.size, memory.grow
      case 0x40:
        this.memoryIndex();
        return;
      case 0x41:
        this.immediate = this.#signed32();
        return;
      case 0x42:
        this.#skipLeb();
        return;
      case 0x43:
        this.#skip(4);
        return;
      case 0x44:
        this.#skip(8);
        return;
      case 0xd0: // ref.null: a heap type
        this.#skipLeb();
        return;
      default:
        throw this.#unknown(op === 0xfb ? 'garbage collection' : `opcode 0x${op.toString(16)}`);
    }
  }

  #misc(): void {
    const sub = this.unsigned();
    this.op = PREFIX.misc + sub;
    if (sub <= 7) return;
    if (sub === 8) {
      this.unsigned();
      this.memoryIndex();
    } else if (sub === 10) {
      this.memoryIndex();
      this.memoryIndex();
    } else if (sub === 11) this.memoryIndex();
    else if (sub === 9 || sub === 13 || (sub >= 15 && sub <= 17)) this.unsigned();
    else if (sub === 12 || sub === 14) {
      this.unsigned();
      this.unsigned();
    } else throw this.#unknown(`opcode 0xfc ${sub}`);
  }

  #vector(): void {
    const sub = this.unsigned();
    this.op = PREFIX.vector + sub;
    if (sub <= 11 || sub === 92 || sub === 93) this.#memoryArgument();
    else if (sub === 12 || sub === 13) this.#skip(16);
    else if (sub >= 21 && sub <= 34) this.immediate = this.byte();
    else if (sub >= 84 && sub <= 91) {
      this.#memoryArgument();
      this.immediate = this.byte();
    } else if (sub > 0x113) throw this.#unknown(`opcode 0xfd ${sub}`);
  }

  #atomic(): void {
    const sub = this.unsigned();
    this.op = PREFIX.atomic + sub;
    if (sub === 3) this.#skip(1);
    else if (sub <= 2 || (sub >= 0x10 && sub <= 0x4e)) this.#memoryArgument();
    else throw this.#unknown(`opcode 0xfe ${sub}`);
  }

  #memoryArgument(): void {
    if ((this.unsigned() & MEMORY_INDEX_FLAG) !== 0) throw this.#unknown('several memories');
    this.offset = this.unsigned();
    if (this.offset >= OFFSET_LIMIT) throw this.#unknown('a memory with 64-bit addresses');
  }

  /** The index of a memory, which is 0 in all that is taken. */
  memoryIndex(): void {
    if (this.unsigned() !== 0) throw this.#unknown('several memories');
  }

  /** A value or block type: one byte or one LEB128, and a heap type after `ref` and `ref null`. */
  valueType(): void {
    const byte = this.#bytes[this.at];
    this.#skipLeb();
    if (byte === 0x63 || byte === 0x64) this.#skipLeb();
  }

  #tryTable(): void {
    this.valueType();
    for (let left = this.unsigned(); left > 0; left--) {
      // catch and catch_ref name a tag; all four a label.
      if (this.byte() <= 1) this.unsigned();
      this.unsigned();
    }
  }

  #signed32(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      return shift < 25 && (byte & 0x40) !== 0 ? value | (-1 << (shift + 7)) : value;
    }
  }

  #skipLeb(): void {
    while (this.byte() >= 0x80);
  }

  #skip(bytes: number): void {
    this.at += bytes;
    if (this.at > this.#bytes.length) throw truncated(this.at);
  }

  #unknown(missing: string): VitrineError {
    return new VitrineError('unsupported', { missing: `WebAssembly ${missing}`, offset: this.start });
  }
}

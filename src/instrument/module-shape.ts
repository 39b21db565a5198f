// The state that an instance of a module holds: its memories, tables and globals, imported ones first as the
// specification numbers them, and the names under which they are exported.
//
// Encodings: WebAssembly 2.0, §5.3 (types) and §5.5.4–5.5.10 (sections); shared and 64-bit memories by flags.

import { VitrineError } from '../base/error.ts';
import { findSection, SECTION, type Section, SectionReader } from './module-sections.ts';

/** Kinds of imports and exports; tags (exceptions) have no state. */
export const KIND = { function: 0, table: 1, memory: 2, global: 3, tag: 4 } as const;

export type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128' | 'funcref' | 'externref' | 'other';

const VALUE_TYPES: Readonly<Record<number, ValueType>> = {
  127: 'i32',
  126: 'i64',
  125: 'f32',
  124: 'f64',
  123: 'v128',
  112: 'funcref',
  111: 'externref',
};

export const LIMIT_HAS_MAXIMUM = 1;
export const LIMIT_SHARED = 2;
const LIMIT_64_BIT = 4;

export interface Limits {
  readonly minimum: number;
  readonly maximum: number | undefined;
  readonly shared: boolean;
  readonly is64Bit: boolean;
}

export interface GlobalShape {
  readonly type: ValueType;
  readonly mutable: boolean;
}

export interface TableShape {
  readonly elementType: ValueType;
  readonly limits: Limits;
}

export interface MemoryShape {
  readonly limits: Limits;
  readonly imported: boolean;
}

export interface ModuleShape {
  readonly memories: readonly MemoryShape[];
  readonly tables: readonly TableShape[];
  readonly globals: readonly GlobalShape[];
  /** Export names by `kind:index`. */
  readonly exportNames: ReadonlyMap<string, string>;
}

/** Throws `argument-invalid` when a section ends too early, `unsupported` for types that are not known here. */
export function shapeOf(sections: readonly Section[]): ModuleShape {
  const memories: MemoryShape[] = [];
  const tables: TableShape[] = [];
  const globals: GlobalShape[] = [];
  each(sections, SECTION.import, (reader) => {
    passImport(reader, { tables, memories, globals });
  });
  each(sections, SECTION.table, (reader) => {
    tables.push(readTableDefinition(reader));
  });
  each(sections, SECTION.memory, (reader) => {
    memories.push({ limits: readLimits(reader), imported: false });
  });
  each(sections, SECTION.global, (reader) => {
    globals.push(readGlobalType(reader));
    skipConstant(reader);
  });
  const exportNames = new Map<string, string>();
  each(sections, SECTION.export, (reader) => {
    const name = reader.name();
    const key = `${reader.byte()}:${reader.unsigned()}`;
    if (!exportNames.has(key)) exportNames.set(key, name);
  });
  return { memories, tables, globals, exportNames };
}

/**
 * Passes one entry of the import section, and puts what holds state where it is asked to. `typeAt` is where its type
 * begins; `functionType` is the index of a function's.
 */
export function passImport(
  reader: SectionReader,
  into?: { tables: TableShape[]; memories: MemoryShape[]; globals: GlobalShape[] },
): { readonly kind: number; readonly typeAt: number; readonly functionType: number } {
  reader.skipName();
  reader.skipName();
  const kind = reader.byte();
  const typeAt = reader.at;
  let functionType = -1;
  if (kind === KIND.function) functionType = reader.unsigned();
  else if (kind === KIND.table) {
    const table = readTableType(reader);
    into?.tables.push(table);
  } else if (kind === KIND.memory) {
    const limits = readLimits(reader);
    into?.memories.push({ limits, imported: true });
  } else if (kind === KIND.global) {
    const global = readGlobalType(reader);
    into?.globals.push(global);
  } else if (kind === KIND.tag) {
    reader.byte();
    reader.unsigned();
  } else throw unknown('kind of import', kind);
  return { kind, typeAt, functionType };
}

/** Reads the limits of a table or memory. */
export function readLimits(reader: SectionReader): Limits {
  const flags = reader.byte();
  if (flags > (LIMIT_HAS_MAXIMUM | LIMIT_SHARED | LIMIT_64_BIT)) throw unknown('limits', flags);
  const minimum = reader.unsigned();
  const maximum = flags & LIMIT_HAS_MAXIMUM ? reader.unsigned() : undefined;
  return {
    minimum,
    maximum,
    shared: (flags & LIMIT_SHARED) !== 0,
    is64Bit: (flags & LIMIT_64_BIT) !== 0,
  };
}

/** Calls `read` for each entry of the vector that a section is. */
function each(sections: readonly Section[], id: number, read: (reader: SectionReader) => void): void {
  const section = findSection(sections, id);
  if (section === undefined) return;
  const reader = new SectionReader(section.bytes);
  const count = reader.unsigned();
  for (let i = 0; i < count; i++) read(reader);
}

function readTableType(reader: SectionReader): TableShape {
  return { elementType: readValueType(reader), limits: readLimits(reader) };
}

/** A table with an initial value for its elements starts with 0x40 0x00. */
function readTableDefinition(reader: SectionReader): TableShape {
  const first = reader.byte();
  if (first !== 0x40) return { elementType: valueType(first, reader), limits: readLimits(reader) };
  reader.byte();
  const table = readTableType(reader);
  skipConstant(reader);
  return table;
}

function readGlobalType(reader: SectionReader): GlobalShape {
  return { type: readValueType(reader), mutable: reader.byte() === 1 };
}

function readValueType(reader: SectionReader): ValueType {
  return valueType(reader.byte(), reader);
}

/** References to types other than functions and host values are `other`: their heap type is passed over. */
function valueType(byte: number, reader: SectionReader): ValueType {
  if (byte !== 0x63 && byte !== 0x64) return VALUE_TYPES[byte] ?? 'other';
  const heapType = reader.unsigned();
  return byte === 0x63 ? (VALUE_TYPES[heapType] ?? 'other') : 'other';
}

/** Passes over a constant expression: WebAssembly 2.0 §3.3.8.2, and the extended ones. */
function skipConstant(reader: SectionReader): void {
  for (;;) {
    const opcode = reader.byte();
    if (opcode === 0x0b) return;
    if (opcode === 0x41 || opcode === 0x42 || opcode === 0x23 || opcode === 0xd2 || opcode === 0xd0) {
      // i32.const, i64.const, global.get, ref.func, ref.null: one LEB128, whose sign does not matter here.
      while (reader.byte() >= 0x80);
    } else if (opcode === 0x43) reader.bytes(4);
    else if (opcode === 0x44) reader.bytes(8);
    else if (opcode === 0xfd) {
      if (reader.unsigned() !== 12) throw unknown('vector constant', opcode);
      reader.bytes(16);
    } else if (!((opcode >= 0x6a && opcode <= 0x6c) || (opcode >= 0x7c && opcode <= 0x7e))) {
      // i32 and i64 add, sub, mul have no immediate; garbage-collected types do not occur in linear programs.
      throw unknown('constant expression', opcode);
    }
  }
}

function unknown(what: string, value: number): VitrineError {
  return new VitrineError('unsupported', { missing: `WebAssembly ${what} ${value}` });
}

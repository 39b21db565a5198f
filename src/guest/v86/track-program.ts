// Rewrites v86's program so that it marks each page of RAM before it writes to it: one byte a page, in its own memory. While
// a barrier is armed it copies the page aside there, too (`barrier-code.ts`).
//
//   do_page_walk(address, for_writing, …) → TLB entry   a page becomes writable in v86's TLB here alone; what compiled
//                                                        code and the interpreter write goes through that TLB
//   jit_dirty_page_ctx(context, page)                   all that writes past the TLB says so here first: page tables'
//                                                        accessed bits, devices, `write_blob`, `jit_dirty_cache`
//
// Both get a new body that calls the old one, which moves to the end of the function space, so nothing is renumbered.
// So whoever empties the TLB and clears the map sees afterwards exactly the pages that were made writable since.
// They are found through the `name` section and checked by type. Writers in JavaScript are not seen: `write-marks.ts`.
//
// Encodings: WebAssembly 2.0, §5.4 and §5.5; `name` section: its appendix.

import { concatBytes, type OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import {
  findSection,
  nameBytes,
  readSections,
  SECTION,
  type Section,
  SectionReader,
  unsigned,
  vector,
  withSection,
  writeSections,
} from '../../instrument/module-sections.ts';
import { type BarrierIndices, beforeWriteBody, I32, OP, PAGE_BITS } from './barrier-code.ts';

/** Exported globals: where the map is, where RAM is, and how many pages are marked in it, none while disarmed. */
export const MARK_GLOBALS = {
  mapAddress: 'vitrine:marks.map',
  firstPage: 'vitrine:marks.first',
  pageCount: 'vitrine:marks.count',
} as const;

/** Exported for a barrier: a global with its block's address, the table of its spill function, and what is to be called
 * with a page before JavaScript writes to it. */
export const BARRIER_EXPORTS = {
  block: 'vitrine:barrier.block',
  spill: 'vitrine:barrier.spill',
  before: 'vitrine:barrier.before',
} as const;

const KIND_FUNCTION = 0;
const KIND_TABLE = 1;
const KIND_GLOBAL = 3;
const FUNCTION_NAMES = 1;

const FUNCTION_TYPE = 0x60;
const FUNCTION_REFERENCE = 0x70;

/** The two functions: how their mangled names end, and their types. */
const PAGE_WALK = { name: '12do_page_walk', type: [FUNCTION_TYPE, 5, I32, I32, I32, I32, I32, 1, I32] };
const DIRTY_PAGE = { name: '18jit_dirty_page_ctx', type: [FUNCTION_TYPE, 2, I32, I32, 0] };

/** The type of what takes a page: `before`, and what it spills to. */
const PAGE_TYPE = [FUNCTION_TYPE, 1, I32, 0];

/**
 * v86's program with marks, or the reason why it cannot have any.
 *
 * It runs as before until somebody sets the globals. Throws `argument-invalid` when the bytes are not a module.
 */
export function trackProgram(
  program: Uint8Array,
): { readonly bytes: OwnedBytes } | { readonly untracked: string } {
  const sections = readSections(program);
  try {
    return { bytes: rewrite(sections) };
  } catch (cause) {
    if (!(cause instanceof VitrineError)) throw cause;
    return { untracked: `v86: ${String(cause.data.missing ?? cause.data.reason)}` };
  }
}

function rewrite(sections: readonly Section[]): OwnedBytes {
  const imported = countImports(bytesOf(sections, SECTION.import));
  const types = readVector(bytesOf(sections, SECTION.function), (reader) => reader.unsigned());
  const bodies = readVector(bytesOf(sections, SECTION.code), (reader) => reader.bytes(reader.unsigned()));
  const globalCount = new SectionReader(bytesOf(sections, SECTION.global)).unsigned();
  const tables = readTables(sections);
  const signatures = typesWith(sections, PAGE_TYPE);
  const [map, first, count, block] = [0, 1, 2, 3].map((added) => imported.globals + globalCount + added);
  const table = imported.tables + tables.length;
  const at = { map: map!, first: first!, count: count!, block: block!, table, type: signatures.index };
  const before = imported.functions + bodies.length;
  bodies.push(Uint8Array.from(beforeWriteBody(at)));
  types.push(signatures.index);

  const names = functionNames(sections);
  const wrap = (target: typeof PAGE_WALK, body: (original: number) => number[]) => {
    const index = indexOf(names, target.name) - imported.functions;
    const original = bodies[index];
    const type = types[index];
    if (original === undefined || type === undefined || !hasType(sections, type, target.type)) {
      throw missing(`${target.name} of another type`);
    }
    bodies[index] = Uint8Array.from(body(imported.functions + bodies.length));
    bodies.push(original);
    types.push(type);
  };
  wrap(PAGE_WALK, (original) => pageWalkBody(original, before, at));
  wrap(DIRTY_PAGE, (original) => dirtyPageBody(original, before));

  const zero = Uint8Array.of(I32, 1, OP.constant, 0, OP.end);
  const exported = (name: string, kind: number, index: number) =>
    concatBytes([nameBytes(name), Uint8Array.of(kind), unsigned(index)]);
  const added = [
    exported(MARK_GLOBALS.mapAddress, KIND_GLOBAL, at.map),
    exported(MARK_GLOBALS.firstPage, KIND_GLOBAL, at.first),
    exported(MARK_GLOBALS.pageCount, KIND_GLOBAL, at.count),
    exported(BARRIER_EXPORTS.block, KIND_GLOBAL, at.block),
    exported(BARRIER_EXPORTS.spill, KIND_TABLE, table),
    exported(BARRIER_EXPORTS.before, KIND_FUNCTION, before),
  ];
  const spillTable = Uint8Array.of(FUNCTION_REFERENCE, 1, 1, 1);
  let changed = withSection(sections, { id: SECTION.type, bytes: vector(signatures.types) });
  changed = withSection(changed, { id: SECTION.function, bytes: vector(types.map(unsigned)) });
  changed = withSection(changed, { id: SECTION.table, bytes: vector([...tables, spillTable]) });
  changed = withSection(changed, {
    id: SECTION.code,
    bytes: vector(bodies.map((body) => concatBytes([unsigned(body.length), body]))),
  });
  changed = withMore(changed, SECTION.global, [zero, zero, zero, zero]);
  return writeSections(withMore(changed, SECTION.export, added));
}

/**
 * Walks, then sees to the page when the entry is for writing and there is one: what the entry allows is written later.
 *
 * An entry holds `(host address of the page) ^ (guest address)` above its flags, so that an exclusive or with the guest
 * address gives the host page. Pages past RAM (devices) come out past the count, as unsigned numbers.
 */
function pageWalkBody(original: number, before: number, at: BarrierIndices): number[] {
  const [address, forWriting, entry] = [0, 1, 5];
  return [
    ...[1, 1, I32],
    ...[0, 1, 2, 3, 4].flatMap((parameter) => [OP.localGet, parameter]),
    ...[OP.call, ...unsigned(original), OP.localSet, entry],
    ...[OP.localGet, forWriting, ...OP.if, OP.localGet, entry, ...OP.if],
    ...[OP.localGet, entry, OP.localGet, address, OP.xor, OP.constant, PAGE_BITS, OP.shiftRightUnsigned],
    ...[OP.globalGet, ...unsigned(at.first), OP.subtract, OP.call, ...unsigned(before)],
    ...[OP.end, OP.end, OP.localGet, entry, OP.end],
  ];
}

/** The bound of `before` is what keeps a guest that names a page beyond its RAM, as in a DMA address, inside the map. */
function dirtyPageBody(original: number, before: number): number[] {
  const page = 1;
  return [
    0,
    ...[OP.localGet, page, OP.call, ...unsigned(before)],
    ...[OP.localGet, 0, OP.localGet, page, OP.call, ...unsigned(original), OP.end],
  ];
}

/** The module's own tables: it may have none, and the section with them. */
function readTables(sections: readonly Section[]): Uint8Array[] {
  const section = findSection(sections, SECTION.table);
  if (section === undefined) return [];
  return readVector(section.bytes, (reader) => {
    const start = reader.at;
    if (reader.byte() !== FUNCTION_REFERENCE) throw missing('tables of functions alone');
    if (reader.byte() & 1) reader.unsigned();
    reader.unsigned();
    return reader.since(start);
  });
}

interface ImportCounts {
  readonly functions: number;
  readonly globals: number;
  readonly tables: number;
}

/** How many functions, globals and tables come before the module's own. */
function countImports(section: Uint8Array): ImportCounts {
  let functions = 0;
  let globals = 0;
  let tables = 0;
  readVector(section, (reader) => {
    reader.name();
    reader.name();
    const kind = reader.byte();
    if (kind === KIND_FUNCTION) {
      functions++;
      reader.unsigned();
    } else if (kind === KIND_GLOBAL) {
      globals++;
      reader.bytes(2);
    } else if (kind === KIND_TABLE || kind === 2) {
      if (kind === KIND_TABLE) {
        reader.byte();
        tables++;
      }
      const flags = reader.byte();
      reader.unsigned();
      if (flags & 1) reader.unsigned();
    } else throw missing(`imports of kind ${kind}`);
  });
  return { functions, globals, tables };
}

function functionNames(sections: readonly Section[]): (readonly [index: number, name: string])[] {
  for (const { id, bytes } of sections) {
    if (id !== SECTION.custom) continue;
    const reader = new SectionReader(bytes);
    if (reader.name() !== 'name') continue;
    while (!reader.atEnd) {
      const kind = reader.byte();
      const content = reader.bytes(reader.unsigned());
      if (kind === FUNCTION_NAMES) return readVector(content, (one) => [one.unsigned(), one.name()] as const);
    }
  }
  throw missing('no names of functions');
}

/** The function whose name ends so. A second one, or a clone made by the compiler (`….llvm.7`), would go unseen. */
function indexOf(names: readonly (readonly [number, string])[], end: string): number {
  const found = names.filter(([, name]) => name.endsWith(end) || name.includes(`${end}.`));
  const [only] = found;
  if (only === undefined || found.length > 1) throw missing(`${found.length} functions ${end}`);
  return only[0];
}

function hasType(sections: readonly Section[], index: number, expected: readonly number[]): boolean {
  return isType(typesOf(sections)[index], expected);
}

/** The module's types with that one among them, and its index. */
function typesWith(sections: readonly Section[], wanted: readonly number[]) {
  const types = typesOf(sections);
  const present = types.findIndex((type) => isType(type, wanted));
  if (present >= 0) return { types, index: present };
  return { types: [...types, Uint8Array.from(wanted)], index: types.length };
}

function typesOf(sections: readonly Section[]): Uint8Array[] {
  return readVector(bytesOf(sections, SECTION.type), (reader) => {
    const start = reader.at;
    if (reader.byte() !== FUNCTION_TYPE) throw missing('types of functions alone');
    // Value types of one byte each: v86 uses no typed references.
    reader.bytes(reader.unsigned());
    reader.bytes(reader.unsigned());
    return reader.since(start);
  });
}

function isType(type: Uint8Array | undefined, expected: readonly number[]): boolean {
  return type?.length === expected.length && expected.every((byte, at) => type[at] === byte);
}

function readVector<T>(section: Uint8Array, read: (reader: SectionReader) => T): T[] {
  const reader = new SectionReader(section);
  return Array.from({ length: reader.unsigned() }, () => read(reader));
}

function withMore(sections: readonly Section[], id: number, added: readonly Uint8Array[]): Section[] {
  const present = bytesOf(sections, id);
  const reader = new SectionReader(present);
  const count = reader.unsigned();
  const bytes = concatBytes([unsigned(count + added.length), present.subarray(reader.at), ...added]);
  return withSection(sections, { id, bytes });
}

function bytesOf(sections: readonly Section[], id: number): Uint8Array {
  const section = findSection(sections, id);
  if (section === undefined) throw missing(`no section ${id}`);
  return section.bytes;
}

function missing(what: string): VitrineError {
  return new VitrineError('unsupported', { missing: what });
}

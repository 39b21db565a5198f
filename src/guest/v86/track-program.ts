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
  withMore,
  withSection,
  writeSections,
} from '../../instrument/module-sections.ts';
import { beforeWriteBody, I32, OP, PAGE_BITS } from './barrier-code.ts';
import {
  bytesOf,
  countImports,
  FUNCTION_TYPE,
  functionNames,
  hasType,
  indexOf,
  KIND,
  missing,
  readVector,
  typesWith,
} from './program-parts.ts';

/** Exported globals: where the map is, where RAM is, and how many pages are marked in it, none while disarmed. */
export const MARK_GLOBALS = {
  mapAddress: 'vitrine:marks.map',
  firstPage: 'vitrine:marks.first',
  pageCount: 'vitrine:marks.count',
  /** The same of linear video memory: its map, and how many pages are marked in it. */
  vramMap: 'vitrine:marks.vram-map',
  vramPages: 'vitrine:marks.vram-count',
} as const;

/** Exported for a barrier: a global with its block's address, the table of its spill function, and what is to be called
 * with a page before JavaScript writes to it. */
export const BARRIER_EXPORTS = {
  block: 'vitrine:barrier.block',
  spill: 'vitrine:barrier.spill',
  before: 'vitrine:barrier.before',
} as const;

const FUNCTION_REFERENCE = 0x70;

/** Where v86's linear video memory begins, 0xe000_0000, and the last page of all, as signed LEB128. */
const FRAME_BUFFER_PAGE = [0x80, 0x80, 0x38];
const LAST_PAGE = [0xff, 0xff, 0x3f];

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
  const [map, first, count, block, vramMap, vramPages] = [0, 1, 2, 3, 4, 5].map(
    (added) => imported.globals + globalCount + added,
  );
  const vram = { map: vramMap!, pages: vramPages! };
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
  wrap(PAGE_WALK, (original) => pageWalkBody(original, before, at.first, vram));
  wrap(DIRTY_PAGE, (original) => dirtyPageBody(original, before));

  const zero = Uint8Array.of(I32, 1, OP.constant, 0, OP.end);
  const exported = (name: string, kind: number, index: number) =>
    concatBytes([nameBytes(name), Uint8Array.of(kind), unsigned(index)]);
  const added = [
    exported(MARK_GLOBALS.mapAddress, KIND.global, at.map),
    exported(MARK_GLOBALS.firstPage, KIND.global, at.first),
    exported(MARK_GLOBALS.pageCount, KIND.global, at.count),
    exported(MARK_GLOBALS.vramMap, KIND.global, vram.map),
    exported(MARK_GLOBALS.vramPages, KIND.global, vram.pages),
    exported(BARRIER_EXPORTS.block, KIND.global, at.block),
    exported(BARRIER_EXPORTS.spill, KIND.table, table),
    exported(BARRIER_EXPORTS.before, KIND.function, before),
  ];
  const spillTable = Uint8Array.of(FUNCTION_REFERENCE, 1, 1, 1);
  let changed = withSection(sections, { id: SECTION.type, bytes: vector(signatures.types) });
  changed = withSection(changed, { id: SECTION.function, bytes: vector(types.map(unsigned)) });
  changed = withSection(changed, { id: SECTION.table, bytes: vector([...tables, spillTable]) });
  changed = withSection(changed, {
    id: SECTION.code,
    bytes: vector(bodies.map((body) => concatBytes([unsigned(body.length), body]))),
  });
  changed = withMore(changed, SECTION.global, [zero, zero, zero, zero, zero, zero]);
  return writeSections(withMore(changed, SECTION.export, added));
}

/**
 * Walks, then sees to the page when the entry is for writing and there is one: what the entry allows is written later.
 *
 * An entry holds `(host address of the page) ^ (guest address)` above its flags, so that an exclusive or with the guest
 * address gives the host page. Pages past RAM (devices) come out past the count, as unsigned numbers; those of the linear
 * video memory at `FRAME_BUFFER_PAGE`, where the sum with the place of RAM may have gone round.
 */
function pageWalkBody(
  original: number,
  before: number,
  first: number,
  vram: { readonly map: number; readonly pages: number },
): number[] {
  const [address, forWriting, entry, page] = [0, 1, 5, 6];
  return [
    ...[1, 2, I32],
    ...[0, 1, 2, 3, 4].flatMap((parameter) => [OP.localGet, parameter]),
    ...[OP.call, ...unsigned(original), OP.localSet, entry],
    ...[OP.localGet, forWriting, ...OP.if, OP.localGet, entry, ...OP.if],
    ...[OP.localGet, entry, OP.localGet, address, OP.xor, OP.constant, PAGE_BITS, OP.shiftRightUnsigned],
    ...[OP.globalGet, ...unsigned(first), OP.subtract, OP.localTee, page, OP.call, ...unsigned(before)],
    ...[OP.localGet, page, OP.constant, ...FRAME_BUFFER_PAGE, OP.subtract],
    ...[OP.constant, ...LAST_PAGE, OP.and, OP.localTee, page],
    ...[OP.globalGet, ...unsigned(vram.pages), OP.lessUnsigned, ...OP.if],
    ...[
      OP.globalGet,
      ...unsigned(vram.map),
      OP.localGet,
      page,
      OP.add,
      OP.constant,
      1,
      ...OP.storeByte,
      0,
      OP.end,
    ],
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

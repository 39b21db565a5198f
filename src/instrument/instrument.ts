// A module rewritten so that its instances know which pages of their memory were written: every store sets a byte in a
// map (`map-layout.ts`). Types, functions, one global and exports are added at the end of their index spaces; nothing is
// renumbered, and the name section is kept. Debugging information by byte offsets (DWARF) is kept too, and off.
//
// Take marks only while no call is inside the program. After a trap take all pages as written. What the host writes
// into the memory is the host's to mark.

import { concatBytes, type OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { CodeReader } from './code-reader.ts';
import { type Arity, type MarkCounts, markFunction } from './function-marker.ts';
import { MAX_WASM_PAGES, type MapLayout, mapLayoutOf, WASM_PAGE_BYTES } from './map-layout.ts';
import { growBody, initBody, type MarkTarget, markRangeBody } from './mark-code.ts';
import { functionsOf, type ModuleFunctions, withMemoryLimits } from './module-functions.ts';
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
} from './module-sections.ts';
import { type Limits, shapeOf } from './module-shape.ts';

/** Names of what is added to the exports. */
export const INSTRUMENT_EXPORTS = {
  /** Grows the guest's memory from outside: pages of 64 KiB → its former size, or -1. */
  grow: 'vitrine:grow',
} as const;

export interface InstrumentOptions {
  /** What to add. Only marks are known. */
  readonly marks: true;
  /** Bytes a mark stands for: a power of two from 256 to 65,536. 4,096 when left out. */
  readonly pageBytes?: number;
  /** The most that the memory may come to. What the module declares when left out, else nearly 4 GiB. */
  readonly maxMemoryBytes?: number;
}

export interface Instrumented {
  readonly bytes: OwnedBytes;
  /** Where the map lies; `marksIn` and `clearMarks` take it. */
  readonly map: MapLayout;
  readonly report: Readonly<MarkCounts>;
}

/**
 * Rewrites a module so that each store marks its page.
 *
 * The module's memory gets a few pages of 64 KiB more, and a maximum; `map.extraPages` says how many. An imported
 * memory must be made with as many more, and be no module's own besides. `module` itself is not changed.
 *
 * Throws `argument-invalid` for bytes that are no module and options out of range; `unsupported` for several memories,
 * shared and 64-bit ones, garbage collection, and opcodes that are not known (with their offset in the code section).
 *
 * @example const { bytes, map } = instrument(module, { marks: true });
 *          const { instance } = await WebAssembly.instantiate(bytes, imports);
 *          marksIn(instance.exports.memory.buffer, map); // one byte a page
 */
export function instrument(module: Uint8Array, options: InstrumentOptions): Instrumented {
  const sections = readSections(module);
  const shape = shapeOf(sections);
  const memory = requireMemory(shape.memories);
  const layout = layoutOf(memory.limits, options);
  const functions = functionsOf(sections);
  const counts: MarkCounts = { stores: 0, bulk: 0, proven: 0 };
  const isFixed = !memory.imported && memory.limits.minimum === layout.maxPages;
  const base = (memory.limits.minimum + layout.extraPages) * WASM_PAGE_BYTES - layout.mapBytes;
  const target: MarkTarget = {
    layout,
    fixedBase: isFixed ? base : undefined,
    baseGlobal: shape.globals.length,
    markRange: functions.all.length,
    grow: functions.all.length + 1,
  };
  const bodies = rewriteBodies(sections, functions, target, counts);
  let changed = withMemoryLimits(sections, memory, layout);
  changed = withAddedFunctions(changed, functions, target, { bodies, isImported: memory.imported });
  changed = append(changed, SECTION.global, [
    concatBytes([Uint8Array.of(0x7f, 1, 0x41), signed(memory.imported ? 0 : base), Uint8Array.of(0x0b)]),
  ]);
  changed = append(changed, SECTION.export, [
    concatBytes([nameBytes(INSTRUMENT_EXPORTS.grow), Uint8Array.of(0), unsigned(target.grow)]),
  ]);
  return { bytes: writeSections(changed), map: layout, report: counts };
}

function requireMemory<T extends { readonly limits: Limits }>(memories: readonly T[]): T {
  const [memory] = memories;
  if (memory === undefined) throw unsupported('a module without a memory');
  if (memories.length > 1) throw unsupported('several memories');
  if (memory.limits.shared) throw unsupported('a shared memory');
  if (memory.limits.is64Bit) throw unsupported('a memory with 64-bit addresses');
  return memory;
}

function layoutOf({ minimum, maximum }: Limits, options: InstrumentOptions): MapLayout {
  const wanted =
    options.maxMemoryBytes === undefined
      ? MAX_WASM_PAGES
      : Math.ceil(options.maxMemoryBytes / WASM_PAGE_BYTES);
  const pageBytes = options.pageBytes ?? LIMITS.defaultPageBytes;
  const most = Math.min(wanted, maximum ?? MAX_WASM_PAGES);
  // Where guest and map together would pass 4 GiB, the guest ends earlier.
  const first = mapLayoutOf(most, pageBytes);
  const maxPages = Math.min(most, MAX_WASM_PAGES - first.extraPages);
  if (maxPages < minimum) {
    throw new VitrineError('argument-invalid', {
      name: 'maxMemoryBytes',
      value: maxPages * WASM_PAGE_BYTES,
      minimum: minimum * WASM_PAGE_BYTES,
    });
  }
  return { ...first, maxPages };
}

function rewriteBodies(
  sections: readonly Section[],
  functions: ModuleFunctions,
  target: MarkTarget,
  counts: MarkCounts,
): Uint8Array[] {
  const code = findSection(sections, SECTION.code);
  if (code === undefined) return [];
  const arities: readonly Arity[] = functions.all.map((type) => functions.types[type] ?? NO_ARITY);
  const context = { target, functions: arities, types: functions.types, counts };
  const reader = new CodeReader(code.bytes, 0);
  const bodies: Uint8Array[] = [];
  for (let left = reader.unsigned(); left > 0; left--) {
    const size = reader.unsigned();
    const [start, end] = [reader.at, reader.at + size];
    const arity = arities[functions.importedCount + bodies.length];
    if (arity === undefined || end > code.bytes.length) {
      throw new VitrineError('argument-invalid', {
        name: 'module',
        reason: 'code without a function',
        start,
      });
    }
    bodies.push(markFunction(code.bytes, { start, end, arity }, context));
    reader.at = end;
  }
  return bodies;
}

const NO_ARITY: Arity = { parameters: 0, results: 0 };
const I32 = 0x7f;
const TYPE = 0x60;

/** The helpers, their types, and the start function that finds an imported memory's end. */
function withAddedFunctions(
  sections: Section[],
  functions: ModuleFunctions,
  target: MarkTarget,
  { bodies, isImported }: { readonly bodies: readonly Uint8Array[]; readonly isImported: boolean },
): Section[] {
  const firstType = functions.types.length;
  const types = [
    Uint8Array.of(TYPE, 2, I32, I32, 0),
    Uint8Array.of(TYPE, 1, I32, 1, I32),
    ...(isImported ? [Uint8Array.of(TYPE, 0, 0)] : []),
  ];
  const added = [
    markRangeBody(target),
    growBody(target),
    ...(isImported ? [initBody(target, startOf(sections))] : []),
  ];
  let changed = append(sections, SECTION.type, types);
  changed = append(
    changed,
    SECTION.function,
    added.map((_, index) => unsigned(firstType + index)),
  );
  if (isImported) changed = withSection(changed, { id: SECTION.start, bytes: unsigned(target.grow + 1) });
  const code = vector([...bodies, ...added].map((body) => concatBytes([unsigned(body.length), body])));
  return withSection(changed, { id: SECTION.code, bytes: code });
}

function startOf(sections: readonly Section[]): number | undefined {
  const start = findSection(sections, SECTION.start);
  return start && new SectionReader(start.bytes).unsigned();
}

/** The section with these entries at its end. */
function append(sections: readonly Section[], id: number, entries: readonly Uint8Array[]): Section[] {
  const present = findSection(sections, id)?.bytes ?? Uint8Array.of(0);
  const reader = new SectionReader(present);
  const count = reader.unsigned();
  const bytes = concatBytes([unsigned(count + entries.length), present.subarray(reader.at), ...entries]);
  return withSection(sections, { id, bytes });
}

/** A signed LEB128 integer of 32 bits from an address. */
function signed(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value | 0;
  for (; rest < -64 || rest > 63; rest >>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest & 0x7f);
  return Uint8Array.from(bytes);
}

function unsupported(missing: string): VitrineError {
  return new VitrineError('unsupported', { missing });
}

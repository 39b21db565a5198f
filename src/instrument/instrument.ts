// A module rewritten so that its instances know which pages of their memory were written (marks), or say so before a page
// is written (barriers); or with a memory that other threads can see. Types, functions, globals, a table and exports are
// added at the end of their index spaces; nothing is renumbered, and the name section is kept. Debugging information by byte
// offsets (DWARF) is kept too, and off.
//
// Take marks, and arm barriers, only while no call is inside the program. What the host writes into the memory is the
// host's to mark.

import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import {
  type AddedCode,
  INSTRUMENT_EXPORTS,
  planAddedCode,
  withAddedFunctions,
  withAddedState,
} from './added-code.ts';
import type { MarkCounts } from './function-marker.ts';
import { MAX_WASM_PAGES, type MapLayout, mapLayoutOf, WASM_PAGE_BYTES } from './map-layout.ts';
import { mapSection } from './map-section.ts';
import { markCode } from './module-code.ts';
import { functionsOf, withMemoryLimits } from './module-functions.ts';
import {
  findSection,
  readSections,
  SECTION,
  type Section,
  SectionReader,
  writeSections,
} from './module-sections.ts';
import { type Limits, type MemoryShape, type ModuleShape, shapeOf } from './module-shape.ts';

export interface InstrumentOptions {
  /** Each store marks its page. */
  readonly marks?: boolean;
  /** The first store to each page calls the host before it writes; marks are there too. */
  readonly barriers?: boolean;
  /** The memory is a `SharedArrayBuffer` of at most so many pages of 64 KiB. */
  readonly shared?: { readonly maximumPages: number };
  /** Bytes a mark stands for: a power of two from 256 to 65,536. 4,096 when left out. */
  readonly pageBytes?: number;
  /** The most that the memory may come to. What the module declares when left out, else nearly 4 GiB. */
  readonly maxMemoryBytes?: number;
}

/** The memory of a rewritten module: what an imported one has to be made with, `new WebAssembly.Memory(…)`. */
export interface MemoryDescription {
  readonly initial: number;
  readonly maximum: number | undefined;
  readonly shared: boolean;
  readonly isImported: boolean;
}

export interface Instrumented {
  readonly bytes: OwnedBytes;
  /** Where the map lies; `marksIn` and `clearMarks` take it. */
  readonly map: MapLayout;
  readonly memory: MemoryDescription;
  readonly report: Readonly<MarkCounts>;
}

/** Of a module that only got a shared memory. */
export type Shared = Omit<Instrumented, 'map'> & { readonly map: undefined };

/** Pages with stores to constant addresses that no store touches: most programs have few, and they are written always. */
const MAX_ALWAYS_PAGES = 32;

/**
 * Rewrites a module: its stores mark their pages (`marks`), or call before they write to a page (`barriers`); its memory
 * becomes a shared one (`shared`).
 *
 * The module's memory gets some pages of 64 KiB more, and a maximum; `map.extraPages` says how many, `memory` what an
 * imported one must be made with. It must be no other module's but of those that `runtimeInstrumenter` rewrote.
 * `module` itself is not changed.
 *
 * Throws `argument-invalid` for bytes that are no module or instrumented already, options out of range, and when nothing is asked for;
 * `unsupported` for several memories, 64-bit ones, garbage collection, and opcodes that are not known (with their offset in
 * the code section).
 *
 * @example const { bytes, map } = instrument(module, { marks: true });
 *          const { instance } = await WebAssembly.instantiate(bytes, imports);
 *          marksIn(instance.exports.memory.buffer, map); // one byte a page
 */
export function instrument(
  module: Uint8Array,
  options: InstrumentOptions & ({ readonly marks: true } | { readonly barriers: true }),
): Instrumented;
export function instrument(module: Uint8Array, options: InstrumentOptions): Instrumented | Shared;
export function instrument(module: Uint8Array, options: InstrumentOptions): Instrumented | Shared {
  const sections = readSections(module);
  const shape = shapeOf(sections);
  const memory = requireMemory(shape);
  refuseTwice(shape);
  const maxPages = maxPagesOf(memory.limits, options);
  const isShared = options.shared !== undefined || memory.limits.shared;
  if (options.marks !== true && options.barriers !== true) {
    if (options.shared === undefined) {
      throw new VitrineError('argument-invalid', { name: 'options', reason: 'nothing to add' });
    }
    return shareOnly(sections, memory, maxPages);
  }
  const layout = layoutOf(memory.limits, maxPages, { options, isShared });
  return addMap(sections, { shape, memory, isShared }, layout);
}

function addMap(
  sections: readonly Section[],
  { shape, memory, isShared }: { shape: ModuleShape; memory: MemoryShape; isShared: boolean },
  layout: MapLayout,
): Instrumented {
  const functions = functionsOf(sections);
  const initialPages = layout.fixed === undefined ? memory.limits.minimum : layout.maxPages;
  const initial = initialPages + layout.extraPages;
  const base = initial * WASM_PAGE_BYTES - layout.mapBytes;
  // It stays where it is when the memory cannot grow.
  const isConstant =
    layout.fixed !== undefined || (!memory.imported && memory.limits.minimum === layout.maxPages);
  const added = planAddedCode(
    layout,
    {
      types: functions.types.length,
      functions: functions.all.length,
      globals: shape.globals.length,
      tables: shape.tables.length,
    },
    {
      fixedBase: isConstant ? base : undefined,
      isShared,
      ...(memory.imported && !isConstant ? { init: { start: startOf(sections) } } : {}),
    },
  );
  const { code, counts, alwaysPages } = markCode(sections, functions, added.target, {
    alwaysPages: {
      below: (memory.limits.minimum * WASM_PAGE_BYTES) / layout.pageBytes,
      most: MAX_ALWAYS_PAGES,
    },
  });
  const maximum = layout.maxPages + layout.extraPages;
  let changed = withMemoryLimits(sections, memory, { minimum: initial, maximum, shared: isShared });
  if (code !== undefined) changed = changed.map((one) => (one.id === SECTION.code ? code : one));
  changed = withAdded(changed, added, functions.types.length, base);
  const map = { ...layout, alwaysPages };
  return {
    bytes: writeSections([...changed, mapSection(map)]),
    map,
    memory: { initial, maximum, shared: isShared, isImported: memory.imported },
    report: counts,
  };
}

function withAdded(
  sections: readonly Section[],
  added: AddedCode,
  firstType: number,
  base: number,
): Section[] {
  return withAddedState(withAddedFunctions(sections, added, firstType), added, base);
}

/** Another flag, and no more: `memory.grow` works on shared memories as it does on others. */
function shareOnly(sections: readonly Section[], memory: MemoryShape, maxPages: number): Shared {
  const { minimum } = memory.limits;
  const changed = withMemoryLimits(sections, memory, { minimum, maximum: maxPages, shared: true });
  return {
    bytes: writeSections(changed),
    map: undefined,
    memory: { initial: minimum, maximum: maxPages, shared: true, isImported: memory.imported },
    report: { stores: 0, bulk: 0, proven: 0 },
  };
}

function requireMemory({ memories }: ModuleShape): MemoryShape {
  const [memory] = memories;
  if (memory === undefined) throw unsupported('a module without a memory');
  if (memories.length > 1) throw unsupported('several memories');
  if (memory.limits.is64Bit) throw unsupported('a memory with 64-bit addresses');
  return memory;
}

/** Two maps behind one memory would not know of each other. */
function refuseTwice({ exportNames }: ModuleShape): void {
  const ours: readonly string[] = Object.values(INSTRUMENT_EXPORTS);
  for (const name of exportNames.values()) {
    if (!ours.includes(name)) continue;
    throw new VitrineError('argument-invalid', {
      name: 'module',
      reason: 'instrumented already',
      export: name,
    });
  }
}

/** The most that the guest may come to, by what it declares and what was asked for. */
function maxPagesOf({ minimum, maximum }: Limits, { shared, maxMemoryBytes }: InstrumentOptions): number {
  const wanted =
    shared?.maximumPages ??
    (maxMemoryBytes === undefined ? MAX_WASM_PAGES : Math.ceil(maxMemoryBytes / WASM_PAGE_BYTES));
  const most = Math.min(wanted, maximum ?? MAX_WASM_PAGES, MAX_WASM_PAGES);
  if (!Number.isInteger(most) || most < minimum) {
    throw new VitrineError('argument-invalid', {
      name: shared === undefined ? 'maxMemoryBytes' : 'shared.maximumPages',
      value: wanted,
      minimumPages: minimum,
    });
  }
  return most;
}

function layoutOf(
  { minimum }: Limits,
  most: number,
  { options, isShared }: { readonly options: InstrumentOptions; readonly isShared: boolean },
): MapLayout {
  const shared = isShared ? { fixedMinimumPages: minimum } : {};
  const fixed = {
    kind: options.barriers === true ? 'barriers' : 'marks',
    pageBytes: options.pageBytes ?? LIMITS.defaultPageBytes,
    ...shared,
  } as const;
  const first = mapLayoutOf({ ...fixed, maxPages: most });
  // Where guest and map together would pass 4 GiB, the guest ends earlier.
  const maxPages = Math.min(most, MAX_WASM_PAGES - first.extraPages);
  if (maxPages < minimum) throw unsupported('a map for a memory of nearly 4 GiB');
  return mapLayoutOf({ ...fixed, maxPages });
}

function startOf(sections: readonly Section[]): number | undefined {
  const start = findSection(sections, SECTION.start);
  return start && new SectionReader(start.bytes).unsigned();
}

function unsupported(missing: string): VitrineError {
  return new VitrineError('unsupported', { missing });
}

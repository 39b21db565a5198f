// Makes the state of a module's instances reachable: its mutable globals, tables and memories are exported under
// names of ours where they are not exported already, and the memory gets the maximum that its region will have.
//
// Only the export and memory sections are written anew; no index changes, so no code is touched. A program cannot
// tell the difference, except that its memory may end earlier: growth then fails as it does when memory runs out.

import type { OwnedBytes } from '../../base/bytes.ts';
import { concatBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { INSTRUMENT_EXPORTS, type MapLayout } from '../../instrument/index.ts';
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
import { KIND, type ModuleShape, shapeOf, type ValueType } from '../../instrument/module-shape.ts';
import { globalReadersOf } from './global-readers.ts';

/** 64 KiB: what WebAssembly counts memory in. */
export const WASM_PAGE_BYTES = 65_536;
/** Pages of a memory with 32-bit addresses. */
const MAX_PAGES = 65_536;
/** Slots that a table may grow by; a restored one that claims more is damaged. */
const MAX_SLOTS = 1_000_000;
/** Added names start so; a module that uses it already is refused. */
const PREFIX = 'vitrine:';
const MAP_EXPORTS: readonly string[] = Object.values(INSTRUMENT_EXPORTS);
/** Types of globals whose values JavaScript can read, and bytes can hold. */
const NUMERIC: readonly ValueType[] = ['i32', 'i64', 'f32', 'f64'];

/** A mutable global and the name it is exported under. */
export interface GlobalInternals {
  readonly exportName: string;
  readonly type: ValueType;
}

export interface TableInternals {
  readonly exportName: string;
  readonly elementType: ValueType;
  /** What the table may come to. */
  readonly maxSlots: number;
}

export interface MemoryInternals {
  readonly exportName: string;
  /** Pages of 64 KiB: what it starts with, and what it may come to. */
  readonly minPages: number;
  readonly maxPages: number;
  readonly isImported: boolean;
}

/** Where the state of an instance is found among its exports. */
export interface ModuleInternals {
  readonly memory: MemoryInternals | undefined;
  readonly globals: readonly GlobalInternals[];
  readonly tables: readonly TableInternals[];
  /** Names that were added. */
  readonly added: readonly string[];
  /** Exported functions that only tell globals. */
  readonly globalReaders: ReadonlySet<string>;
}

export interface ExportInternalsOptions {
  /**
   * The most that the memory may come to, in bytes. Left out: twice its initial size, at least 16 MiB more, never
   * more than the module declares. An imported memory brings its own maximum, and must declare it.
   */
  readonly maxMemoryBytes?: number;
}

/** Where the map lies of a module that was instrumented before: what belongs to it is no state of the program. */
export interface AlreadyInstrumented {
  readonly map?: MapLayout | undefined;
}

/**
 * The module with its state exported, and where to find it. `module` itself is not changed.
 *
 * Throws `argument-invalid` for bytes that are no module or a limit below the initial size, `unsupported` for several
 * memories, 64-bit and shared ones, typed tables, and mutable globals that hold vectors or references.
 */
export function exportInternals(
  module: Uint8Array,
  options: ExportInternalsOptions & AlreadyInstrumented = {},
): { readonly bytes: OwnedBytes; readonly internals: ModuleInternals } {
  const sections = readSections(module);
  const shape = shapeOf(sections);
  const added: { kind: number; index: number; name: string }[] = [];
  const nameOf = (kind: number, index: number): string => {
    const present = shape.exportNames.get(`${kind}:${index}`);
    if (present !== undefined) return present;
    const name = `${PREFIX}${kind}:${index}`;
    added.push({ kind, index, name });
    return name;
  };
  const { map } = options;
  const isMaps = (kind: number, index: number): boolean =>
    map !== undefined && MAP_EXPORTS.includes(shape.exportNames.get(`${kind}:${index}`) ?? '');
  const maxPages = map?.maxPages ?? maxPagesOf(shape, options);
  const memory =
    maxPages === undefined
      ? undefined
      : {
          exportName: nameOf(KIND.memory, 0),
          minPages: map?.fixed?.minimumPages ?? minPagesOf(shape) - (map?.extraPages ?? 0),
          maxPages,
          isImported: shape.memories[0]?.imported === true,
        };
  const globals: GlobalInternals[] = [];
  for (const [index, { type, mutable }] of shape.globals.entries()) {
    if (!mutable || isMaps(KIND.global, index)) continue;
    if (!NUMERIC.includes(type)) throw unsupported(`a mutable global of type ${type}`, index);
    globals.push({ exportName: nameOf(KIND.global, index), type });
  }
  const tables = shape.tables.flatMap(({ elementType, limits }, index) => {
    if (isMaps(KIND.table, index)) return [];
    if (elementType !== 'funcref' && elementType !== 'externref') throw unsupported('a typed table', index);
    const maxSlots = Math.min(limits.maximum ?? MAX_SLOTS, limits.minimum + MAX_SLOTS);
    return [{ exportName: nameOf(KIND.table, index), elementType, maxSlots }];
  });
  const isForeign = (name: string): boolean =>
    name.startsWith(PREFIX) && (map === undefined || !MAP_EXPORTS.includes(name));
  if ([...shape.exportNames.values()].some(isForeign)) {
    throw new VitrineError('argument-invalid', { name: 'module', reason: `exports names with ${PREFIX}` });
  }
  let changed = withExports(sections, added);
  if (maxPages !== undefined && map === undefined && shape.memories[0]?.imported === false)
    changed = withMaximum(changed, maxPages);
  const internals = {
    memory,
    globals,
    tables,
    added: added.map(({ name }) => name),
    globalReaders: globalReadersOf(sections, shape),
  };
  return { bytes: writeSections(changed), internals };
}

/** The size of the memory's region in pages, or undefined without a memory. */
function maxPagesOf(shape: ModuleShape, options: ExportInternalsOptions): number | undefined {
  const [memory, second] = shape.memories;
  if (memory === undefined) return undefined;
  if (second !== undefined) throw unsupported('several memories', shape.memories.length);
  const { minimum, maximum, shared, is64Bit } = memory.limits;
  if (shared) throw unsupported('a shared memory: its threads cannot be brought to rest', 0);
  if (is64Bit) throw unsupported('a memory with 64-bit addresses', 0);
  if (memory.imported) {
    if (maximum === undefined) throw unsupported('an imported memory without a maximum', 0);
    return maximum;
  }
  const roomPages = Math.max(minimum, (16 * 1024 * 1024) / WASM_PAGE_BYTES);
  const wanted =
    options.maxMemoryBytes === undefined
      ? minimum + roomPages
      : Math.ceil(options.maxMemoryBytes / WASM_PAGE_BYTES);
  if (wanted < minimum) {
    throw new VitrineError('argument-invalid', {
      name: 'maxMemoryBytes',
      value: options.maxMemoryBytes ?? 0,
      minimum: minimum * WASM_PAGE_BYTES,
    });
  }
  return Math.min(wanted, maximum ?? MAX_PAGES, MAX_PAGES);
}

function minPagesOf(shape: ModuleShape): number {
  return shape.memories[0]?.limits.minimum ?? 0;
}

function withExports(
  sections: readonly Section[],
  added: readonly { readonly kind: number; readonly index: number; readonly name: string }[],
): Section[] {
  const present = findSection(sections, SECTION.export)?.bytes ?? Uint8Array.of(0);
  const reader = new SectionReader(present);
  const count = reader.unsigned();
  const entries = added.map(({ kind, index, name }) =>
    concatBytes([nameBytes(name), Uint8Array.of(kind), unsigned(index)]),
  );
  const bytes = concatBytes([unsigned(count + entries.length), present.subarray(reader.at), ...entries]);
  return withSection(sections, { id: SECTION.export, bytes });
}

/** The memory section with a maximum; the one memory is neither shared nor 64-bit. */
function withMaximum(sections: readonly Section[], maxPages: number): Section[] {
  const present = findSection(sections, SECTION.memory);
  if (present === undefined) return [...sections];
  const reader = new SectionReader(present.bytes);
  reader.unsigned();
  reader.byte();
  const minimum = reader.unsigned();
  const limits = concatBytes([Uint8Array.of(1), unsigned(minimum), unsigned(maxPages)]);
  return withSection(sections, { id: SECTION.memory, bytes: vector([limits]) });
}

function unsupported(missing: string, index: number): VitrineError {
  return new VitrineError('unsupported', { missing, index });
}

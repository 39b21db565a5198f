// Modules that a program makes while it runs, a JIT compiler's code: they import the memory of an instrumented program, and
// their stores touch its map. What they need of the program they import: the map's base, and for barriers the host's
// function and its switch.
//
// The functions that are added to a program are added to each of them again: an imported function would renumber all
// others. For the same reason a module that defines globals (or tables, with barriers) is refused; compilers' code has none.

import { concatBytes, type OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { INSTRUMENT_EXPORTS, planAddedCode, withAddedFunctions } from './added-code.ts';
import type { Instrumented } from './instrument.ts';
import { WASM_PAGE_BYTES } from './map-layout.ts';
import { markCode } from './module-code.ts';
import { functionsOf, withMemoryLimits } from './module-functions.ts';
import {
  findSection,
  nameBytes,
  readSections,
  SECTION,
  type Section,
  SectionReader,
  withMore,
  writeSections,
} from './module-sections.ts';
import { KIND, shapeOf } from './module-shape.ts';

/** The module name of what run-time modules import in addition. */
const IMPORT_MODULE = 'vitrine';
const I32_MUTABLE = [0x7f, 1];
const ONE_FUNCTION = [0x70, 1, 1, 1];

export interface RuntimeInstrumenter {
  /**
   * Rewrites one module. Throws `unsupported` when it does not import its memory, and as `instrument` does;
   * `argument-invalid` for bytes that are no module.
   */
  module(bytes: Uint8Array): OwnedBytes;
  /** What rewritten modules import beside their own: `{ ...imports, ...instrumenter.imports(exports) }`. */
  imports(exports: Readonly<Record<string, unknown>>): Record<string, Record<string, unknown>>;
}

/**
 * Rewrites modules that share the memory of an instrumented program, whose `map` and `memory` are given.
 *
 * @example const runtime = runtimeInstrumenter(instrumented);
 *          const code = new WebAssembly.Module(runtime.module(bytes));
 *          new WebAssembly.Instance(code, { ...imports, ...runtime.imports(program.exports) });
 */
export function runtimeInstrumenter({
  map,
  memory,
}: Pick<Instrumented, 'map' | 'memory'>): RuntimeInstrumenter {
  const isBarrier = map.kind === 'barriers';
  const fixedBase = map.fixed === undefined ? undefined : memory.initial * WASM_PAGE_BYTES - map.mapBytes;
  const added = [
    importOf(INSTRUMENT_EXPORTS.base, KIND.global, I32_MUTABLE),
    ...(isBarrier
      ? [
          importOf(INSTRUMENT_EXPORTS.armed, KIND.global, I32_MUTABLE),
          importOf(INSTRUMENT_EXPORTS.hook, KIND.table, ONE_FUNCTION),
        ]
      : []),
  ];

  const module = (bytes: Uint8Array): OwnedBytes => {
    const sections = readSections(bytes);
    const shape = shapeOf(sections);
    const [own] = shape.memories;
    if (own === undefined || !own.imported || shape.memories.length > 1) {
      throw unsupported('a run-time module without exactly one imported memory');
    }
    if (own.limits.is64Bit) throw unsupported('a memory with 64-bit addresses');
    if (countOf(sections, SECTION.global) > 0) throw unsupported('a run-time module with globals of its own');
    if (isBarrier && countOf(sections, SECTION.table) > 0) {
      throw unsupported('a run-time module with tables of its own');
    }
    const functions = functionsOf(sections);
    const plan = planAddedCode(
      map,
      {
        types: functions.types.length,
        functions: functions.all.length,
        globals: shape.globals.length,
        tables: shape.tables.length,
      },
      { fixedBase, isShared: memory.shared },
    );
    const { code } = markCode(sections, functions, plan.target, { alwaysPages: map.alwaysPages });
    const { minimum, maximum } = own.limits;
    let changed = withMemoryLimits(sections, own, {
      minimum,
      // A maximum must not be below the memory's, and a shared memory has one.
      maximum: maximum === undefined && !memory.shared ? undefined : memory.maximum,
      shared: memory.shared,
    });
    if (code !== undefined) changed = changed.map((one) => (one.id === SECTION.code ? code : one));
    changed = withMore(changed, SECTION.import, added);
    return writeSections(withAddedFunctions(changed, plan, functions.types.length));
  };

  const imports: RuntimeInstrumenter['imports'] = (exports) => {
    const names = [
      INSTRUMENT_EXPORTS.base,
      ...(isBarrier ? [INSTRUMENT_EXPORTS.armed, INSTRUMENT_EXPORTS.hook] : []),
    ];
    return { [IMPORT_MODULE]: Object.fromEntries(names.map((name) => [name, exports[name]])) };
  };
  return { module, imports };
}

function importOf(name: string, kind: number, type: readonly number[]): OwnedBytes {
  return concatBytes([nameBytes(IMPORT_MODULE), nameBytes(name), Uint8Array.of(kind, ...type)]);
}

function countOf(sections: readonly Section[], id: number): number {
  const section = findSection(sections, id);
  return section === undefined ? 0 : new SectionReader(section.bytes).unsigned();
}

function unsupported(missing: string): VitrineError {
  return new VitrineError('unsupported', { missing });
}

// The functions of a module by their types, and the limits of its memory written anew.

import { concatBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { Arity } from './function-marker.ts';
import {
  findSection,
  SECTION,
  type Section,
  SectionReader,
  unsigned,
  vector,
  withSection,
} from './module-sections.ts';
import { KIND, LIMIT_HAS_MAXIMUM, LIMIT_SHARED, passImport } from './module-shape.ts';

const FUNCTION_TYPE = 0x60;

export interface ModuleFunctions {
  readonly types: readonly Arity[];
  /** The type of each function, imported ones first. */
  readonly all: readonly number[];
  readonly importedCount: number;
}

/** Throws `unsupported` for types of garbage collection. */
export function functionsOf(sections: readonly Section[]): ModuleFunctions {
  const types: Arity[] = [];
  each(sections, SECTION.type, (reader) => {
    if (reader.byte() !== FUNCTION_TYPE) {
      throw new VitrineError('unsupported', {
        missing: 'WebAssembly garbage collection',
        type: types.length,
      });
    }
    types.push({ parameters: countTypes(reader), results: countTypes(reader) });
  });
  const all: number[] = [];
  each(sections, SECTION.import, (reader) => {
    const { kind, functionType } = passImport(reader);
    if (kind === KIND.function) all.push(functionType);
  });
  const importedCount = all.length;
  each(sections, SECTION.function, (reader) => void all.push(reader.unsigned()));
  return { types, all, importedCount };
}

/** How many arguments each imported function is given, by `module\nname`. Throws as `functionsOf`. */
export function importAritiesOf(sections: readonly Section[]): ReadonlyMap<string, number> {
  const { types } = functionsOf(sections);
  const arities = new Map<string, number>();
  each(sections, SECTION.import, (reader) => {
    const start = reader.at;
    const { kind, functionType, typeAt } = passImport(reader);
    if (kind !== KIND.function) return;
    const names = new SectionReader(reader.since(start).subarray(0, typeAt - start));
    const key = `${names.name()}\n${names.name()}`;
    // One name may be imported twice, as functions of two types.
    arities.set(key, Math.max(arities.get(key) ?? 0, types[functionType]?.parameters ?? 0));
  });
  return arities;
}

/** Limits of a memory as they are written. */
export interface WrittenLimits {
  readonly minimum: number;
  readonly maximum: number | undefined;
  readonly shared: boolean;
}

/** The sections with other limits for the one memory. */
export function withMemoryLimits(
  sections: readonly Section[],
  { imported }: { readonly imported: boolean },
  { minimum, maximum, shared }: WrittenLimits,
): Section[] {
  const flags = (maximum === undefined ? 0 : LIMIT_HAS_MAXIMUM) | (shared ? LIMIT_SHARED : 0);
  const limits = concatBytes([
    Uint8Array.of(flags),
    unsigned(minimum),
    ...(maximum === undefined ? [] : [unsigned(maximum)]),
  ]);
  if (!imported) return withSection(sections, { id: SECTION.memory, bytes: vector([limits]) });
  const entries: Uint8Array[] = [];
  each(sections, SECTION.import, (reader) => {
    const start = reader.at;
    const { kind, typeAt } = passImport(reader);
    const whole = reader.since(start);
    entries.push(kind === KIND.memory ? concatBytes([whole.subarray(0, typeAt - start), limits]) : whole);
  });
  return withSection(sections, { id: SECTION.import, bytes: vector(entries) });
}

function countTypes(reader: SectionReader): number {
  const count = reader.unsigned();
  for (let left = count; left > 0; left--) {
    const byte = reader.byte();
    if (byte === 0x63 || byte === 0x64) reader.unsigned();
  }
  return count;
}

function each(sections: readonly Section[], id: number, read: (reader: SectionReader) => void): void {
  const section = findSection(sections, id);
  if (section === undefined) return;
  const reader = new SectionReader(section.bytes);
  for (let left = reader.unsigned(); left > 0; left--) read(reader);
}

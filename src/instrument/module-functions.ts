// The functions of a module by their types, and the limits of its memory written anew.

import { concatBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { Arity } from './function-marker.ts';
import type { MapLayout } from './map-layout.ts';
import {
  findSection,
  SECTION,
  type Section,
  SectionReader,
  unsigned,
  vector,
  withSection,
} from './module-sections.ts';
import { KIND, type Limits, passImport } from './module-shape.ts';

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

/** The sections with room for the map in the memory's limits. */
export function withMemoryLimits(
  sections: readonly Section[],
  memory: { readonly limits: Limits; readonly imported: boolean },
  { maxPages, extraPages }: MapLayout,
): Section[] {
  const limits = concatBytes([
    Uint8Array.of(1),
    unsigned(memory.limits.minimum + extraPages),
    unsigned(maxPages + extraPages),
  ]);
  if (!memory.imported) return withSection(sections, { id: SECTION.memory, bytes: vector([limits]) });
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

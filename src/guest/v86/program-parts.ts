// The parts of a compiled module that its rewriting needs: functions by their mangled names and types, how many imports come
// before its own things. What is not there is refused by name, never guessed at.
//
// Encodings: WebAssembly 2.0, §5.5; `name` section: its appendix.

import { VitrineError } from '../../base/error.ts';
import { findSection, SECTION, type Section, SectionReader } from '../../instrument/module-sections.ts';

export const FUNCTION_TYPE = 0x60;
export const KIND = { function: 0, table: 1, memory: 2, global: 3 } as const;

const FUNCTION_NAMES = 1;

interface ImportCounts {
  readonly functions: number;
  readonly globals: number;
  readonly tables: number;
}

/** How many functions, globals and tables come before the module's own. */
export function countImports(section: Uint8Array): ImportCounts {
  let functions = 0;
  let globals = 0;
  let tables = 0;
  readVector(section, (reader) => {
    reader.name();
    reader.name();
    const kind = reader.byte();
    if (kind === KIND.function) {
      functions++;
      reader.unsigned();
    } else if (kind === KIND.global) {
      globals++;
      reader.bytes(2);
    } else if (kind === KIND.table || kind === KIND.memory) {
      if (kind === KIND.table) {
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

export function functionNames(sections: readonly Section[]): (readonly [index: number, name: string])[] {
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
export function indexOf(names: readonly (readonly [number, string])[], end: string): number {
  const found = names.filter(([, name]) => name.endsWith(end) || name.includes(`${end}.`));
  const [only] = found;
  if (only === undefined || found.length > 1) throw missing(`${found.length} functions ${end}`);
  return only[0];
}

export function hasType(sections: readonly Section[], index: number, expected: readonly number[]): boolean {
  return isType(typesOf(sections)[index], expected);
}

/** The module's types with that one among them, and its index. */
export function typesWith(sections: readonly Section[], wanted: readonly number[]) {
  const types = typesOf(sections);
  const present = types.findIndex((type) => isType(type, wanted));
  if (present >= 0) return { types, index: present };
  return { types: [...types, Uint8Array.from(wanted)], index: types.length };
}

export function typesOf(sections: readonly Section[]): Uint8Array[] {
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

export function readVector<T>(section: Uint8Array, read: (reader: SectionReader) => T): T[] {
  const reader = new SectionReader(section);
  return Array.from({ length: reader.unsigned() }, () => read(reader));
}

export function bytesOf(sections: readonly Section[], id: number): Uint8Array {
  const section = findSection(sections, id);
  if (section === undefined) throw missing(`no section ${id}`);
  return section.bytes;
}

export function missing(what: string): VitrineError {
  return new VitrineError('unsupported', { missing: what });
}

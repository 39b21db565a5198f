// Exported functions that compute their answer from globals and arguments alone. Emscripten's `emscripten_stack_get_current`
// is one, and its loaders call it before each call through a table: a million times a second in a program with setjmp, and
// behind a gate that was an eighth of MicroPython's time. They change nothing, wait for nothing and end at once, so they
// need none. A function that looks into memory is not among them: while memory is put back it would answer with half of it.

import { CodeReader, OP } from '../../instrument/code-reader.ts';
import { findSection, SECTION, type Section, SectionReader } from '../../instrument/module-sections.ts';
import { KIND, type ModuleShape, passImport } from '../../instrument/module-shape.ts';

/** i32.const, i64.const, f32.const, f64.const, and all that computes from operands: comparisons to sign extensions. */
const CONSTANTS = { first: OP.i32Const, last: 0x44 } as const;
const NUMERIC = { first: OP.i32Eqz, last: 0xc4 } as const;
/** Longer ones do more than to tell something. */
const MAX_BODY_BYTES = 32;

/** Their names among the exports. A function with an instruction that is not known here is none. */
export function globalReadersOf(sections: readonly Section[], shape: ModuleShape): ReadonlySet<string> {
  const names = new Set<string>();
  const code = findSection(sections, SECTION.code);
  if (code === undefined) return names;
  let index = countImportedFunctions(sections);
  const reader = new CodeReader(code.bytes, 0);
  for (let left = reader.unsigned(); left > 0; left--, index++) {
    const size = reader.unsigned();
    const end = reader.at + size;
    const name = shape.exportNames.get(`${KIND.function}:${index}`);
    if (name !== undefined && size <= MAX_BODY_BYTES && readsGlobalsOnly(code.bytes, reader, end))
      names.add(name);
    reader.at = end;
  }
  return names;
}

function countImportedFunctions(sections: readonly Section[]): number {
  const section = findSection(sections, SECTION.import);
  if (section === undefined) return 0;
  const reader = new SectionReader(section.bytes);
  let count = 0;
  for (let left = reader.unsigned(); left > 0; left--) {
    if (passImport(reader).kind === KIND.function) count++;
  }
  return count;
}

function readsGlobalsOnly(section: Uint8Array, reader: CodeReader, end: number): boolean {
  for (let groups = reader.unsigned(); groups > 0; groups--) {
    reader.unsigned();
    reader.valueType();
  }
  while (reader.at < end) {
    // Looked at before it is read, which refuses what it does not know; past the end it is none of these.
    const op = section[reader.at]!;
    const isTaken =
      op === OP.localGet ||
      op === OP.globalGet ||
      op === OP.end ||
      (op >= CONSTANTS.first && op <= CONSTANTS.last) ||
      (op >= NUMERIC.first && op <= NUMERIC.last);
    if (!isTaken) return false;
    reader.next();
  }
  return true;
}

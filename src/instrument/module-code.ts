// The code section rewritten: all functions are read before the first is written, so that the pages that many stores
// write to by constant addresses are known, and those stores need nothing.

import { concatBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { CodeReader } from './code-reader.ts';
import { CodeWriter } from './code-writer.ts';
import { type Arity, FunctionMarker, type MarkCounts } from './function-marker.ts';
import type { MarkTarget } from './mark-code.ts';
import type { ModuleFunctions } from './module-functions.ts';
import { findSection, SECTION, type Section } from './module-sections.ts';

const NO_ARITY: Arity = { parameters: 0, results: 0 };

export interface MarkedCode {
  /** Undefined for a module without code. */
  readonly code: Section | undefined;
  readonly counts: MarkCounts;
  readonly alwaysPages: readonly number[];
}

/**
 * Rewrites the code of a module. `alwaysPages` are those that no store at a constant address touches, or how many are
 * to be chosen. Throws `unsupported`, `argument-invalid`.
 */
export function markCode(
  sections: readonly Section[],
  functions: ModuleFunctions,
  target: MarkTarget,
  options: {
    readonly alwaysPages: readonly number[] | { readonly below: number; readonly most: number };
  },
): MarkedCode {
  const counts: MarkCounts = { stores: 0, bulk: 0, proven: 0 };
  const constantPages = new Map<number, number>();
  const section = findSection(sections, SECTION.code);
  if (section === undefined) return { code: undefined, counts, alwaysPages: [] };
  const context = {
    functions: functions.all.map((type) => functions.types[type] ?? NO_ARITY),
    types: functions.types,
    granuleShift: target.layout.granuleShift,
    counts,
    constantPages,
  };
  const reader = new CodeReader(section.bytes, 0);
  const count = reader.unsigned();
  const markers: FunctionMarker[] = [];
  for (let left = count; left > 0; left--) {
    const size = reader.unsigned();
    const [start, end] = [reader.at, reader.at + size];
    const arity = context.functions[functions.importedCount + markers.length];
    if (arity === undefined || end > section.bytes.length) {
      throw new VitrineError('argument-invalid', {
        name: 'module',
        reason: 'code without a function',
        start,
      });
    }
    markers.push(new FunctionMarker(section.bytes, { start, end, arity }, context));
    reader.at = end;
  }
  const given = options.alwaysPages;
  const alwaysPages = 'most' in given ? mostUsed(constantPages, given) : given;
  const always = new Set(alwaysPages);
  const writer = new CodeWriter();
  const whole = new CodeWriter();
  writer.unsigned(count);
  for (const marker of markers) {
    const body = marker.write(target, always, whole);
    writer.unsigned(body.length);
    writer.bytes(body);
  }
  return { code: { id: SECTION.code, bytes: concatBytes([writer.written]) }, counts, alwaysPages };
}

/** The pages with the most stores, in order. */
function mostUsed(
  uses: ReadonlyMap<number, number>,
  { below, most }: { readonly below: number; readonly most: number },
): number[] {
  return [...uses]
    .filter(([page]) => page < below)
    .sort(([, a], [, b]) => b - a)
    .slice(0, most)
    .map(([page]) => page)
    .sort((a, b) => a - b);
}

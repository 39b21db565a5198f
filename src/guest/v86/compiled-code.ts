// What becomes of the modules that v86 compiles hot code into while it runs. Its program gives each one to its import
// `codegen_finalize`; where that is to be done in another way than v86's own, the import is replaced, so that no module comes
// in past it, also in a machine that an embedder started before a guest was made of it:
//
//   shared memory     modules import a memory that is not shared: each is rewritten before it is instantiated
//   the same again    each is there at a place that the machine's own course decides: see `orderly-code.ts`
//
// The rest is what v86's own does: make an instance, put its function into the table, tell the program.

import type { OrderlyCode } from './orderly-code.ts';
import { shareCode } from './share-program.ts';

/** Where compiled functions begin in the program's table. */
const FIRST_TABLE_PLACE = 1024;

type Finalize = (index: number, start: number, flags: number, address: number, lengthBytes: number) => void;

/** What compiled code calls back, and what the program is told. */
interface ProgramExports extends WebAssembly.Exports {
  readonly memory: WebAssembly.Memory;
  readonly codegen_finalize_finished: (index: number, start: number, flags: number) => void;
}

export interface CodeTreatment {
  readonly isShared: boolean;
  readonly orderly: OrderlyCode | undefined;
}

/** The imports of a program with its compiled code treated so. `exportsOf` gives its exports, which are there once it runs. */
export function withCompiledCode(
  imports: WebAssembly.Imports,
  exportsOf: () => WebAssembly.Exports,
  { isShared, orderly }: CodeTreatment,
): WebAssembly.Imports {
  const { env } = imports;
  // Safe: v86 imports its table by this name; `openV86` fails at once in a build without one.
  const table = env?.__indirect_function_table as WebAssembly.Table;
  let codeImports: WebAssembly.Imports | undefined;
  const codegen_finalize: Finalize = (index, start, flags, address, lengthBytes) => {
    // Safe: v86 itself gives its compiled code these, by these names.
    const exports = exportsOf() as ProgramExports;
    codeImports ??= { e: { ...exports, m: exports.memory } };
    // A copy: v86 uses the place again, and platforms refuse code in shared memory.
    const compiled = new Uint8Array(exports.memory.buffer, address >>> 0, lengthBytes >>> 0).slice();
    const code = isShared ? shareCode(compiled) : compiled;
    const putInPlace = (instance: WebAssembly.Instance) => {
      table.set(index + FIRST_TABLE_PLACE, instance.exports.f);
      exports.codegen_finalize_finished(index, start, flags);
    };
    if (orderly === undefined) {
      void WebAssembly.instantiate(code, codeImports).then(({ instance }) => putInPlace(instance));
      return;
    }
    const instance = new WebAssembly.Instance(new WebAssembly.Module(code), codeImports);
    orderly.add(() => putInPlace(instance));
  };
  return { ...imports, env: { ...env, codegen_finalize } };
}

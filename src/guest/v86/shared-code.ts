// v86 compiles hot code into modules that import its memory as one that is not shared. Where it is, each is rewritten
// before it is instantiated: in the program's import `codegen_finalize`, so that no module comes in another way, also in a
// machine that an embedder started before a guest was made of it.
//
// What the import does is what v86's own does: make an instance, put its function into the table, tell the program.

import { shareCode } from './share-program.ts';

/** Where compiled functions begin in the program's table. */
const FIRST_TABLE_PLACE = 1024;

type Finalize = (index: number, start: number, flags: number, address: number, lengthBytes: number) => void;

/** What compiled code calls back, and what the program is told. */
interface ProgramExports extends WebAssembly.Exports {
  readonly memory: WebAssembly.Memory;
  readonly codegen_finalize_finished: (index: number, start: number, flags: number) => void;
}

/** The imports of a program with shared memory. `exportsOf` gives its exports, which are there once it runs. */
export function withSharedCode(
  imports: WebAssembly.Imports,
  exportsOf: () => WebAssembly.Exports,
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
    const code = new Uint8Array(exports.memory.buffer, address >>> 0, lengthBytes >>> 0).slice();
    void WebAssembly.instantiate(shareCode(code), codeImports).then(({ instance }) => {
      table.set(index + FIRST_TABLE_PLACE, instance.exports.f);
      exports.codegen_finalize_finished(index, start, flags);
    });
  };
  return { ...imports, env: { ...env, codegen_finalize } };
}

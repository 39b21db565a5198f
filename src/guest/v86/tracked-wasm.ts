// v86's program as its `wasm_fn` option wants it, with marks and shared memory where that is possible. What cannot be
// rewritten runs as it is, and why is kept with its exports, where the guest finds it.

import type { OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import { whyNotShared } from '../../memory/shared-support.ts';
import { withCompiledCode } from './compiled-code.ts';
import type { OrderlyCode } from './orderly-code.ts';
import { sharedPagesFor, shareProgram } from './share-program.ts';
import { stepProgram } from './step-program.ts';
import { trackProgram } from './track-program.ts';

/** A compiled program of v86. */
export interface V86Program {
  readonly module: WebAssembly.Module;
  /** Why it marks no pages; undefined when it does. */
  readonly untracked: string | undefined;
  /** Whether its memory is shared, so that other workers can read it. */
  readonly isShared?: boolean;
  /** Why it is not; undefined when it is, or when that is not known. */
  readonly unshared?: string | undefined;
}

export interface CompileOptions {
  /** Whether it marks the pages it writes. `auto` when left out: where that is possible. */
  readonly tracking?: 'auto' | 'none';
  /**
   * `shared` puts the machine's memory where other workers can read it, `auto` does where the platform allows it, and
   * says why not where it does not. `private` when left out.
   */
  readonly memory?: 'auto' | 'shared' | 'private';
  /**
   * `single` is for `deterministic` machines that are interpreted, and for those alone: they can be ended at any instruction.
   * `slices` when left out.
   */
  readonly steps?: 'single' | 'slices';
  /** The largest machine it is for: a shared memory has a fixed maximum. 512 MiB of RAM and 32 of VGA when left out. */
  readonly machine?: { readonly memoryBytes: number; readonly vgaMemoryBytes: number };
}

/** What an embedder's machine may have when a program is compiled before it is known. */
const ANY_MACHINE = { memoryBytes: 512 * MIB, vgaMemoryBytes: 32 * MIB };

/** Makes an instance: `WebAssembly.instantiate`, or what an embedder puts in its place. */
export type Instantiate = (
  program: WebAssembly.Module,
  imports: WebAssembly.Imports,
) => Promise<WebAssembly.Instance>;

/** By the exports of the instances made here: the programs they are instances of. */
const programs = new WeakMap<WebAssembly.Exports, V86Program>();

/**
 * Compiles v86's program, made to mark the pages it writes. One compilation serves many guests: pass it to `openV86` as
 * its `wasm`.
 *
 * Throws `argument-invalid` when the bytes are no module, `unsupported` when memory is to be `shared` and cannot be, or for
 * single steps of another build.
 */
export async function compileV86(program: OwnedBytes, options: CompileOptions = {}): Promise<V86Program> {
  const tracked = options.tracking === 'none' ? { untracked: 'not wanted' } : trackProgram(program);
  const marked = 'bytes' in tracked ? tracked.bytes : program;
  const bytes = options.steps === 'single' ? stepProgram(marked) : marked;
  const untracked = 'untracked' in tracked ? tracked.untracked : undefined;
  const shared = share(bytes, options);
  if ('unshared' in shared) return { module: await WebAssembly.compile(bytes), untracked, ...shared };
  return { module: await WebAssembly.compile(shared.bytes), untracked, isShared: true };
}

function share(
  program: OwnedBytes,
  { memory = 'private', machine = ANY_MACHINE }: CompileOptions,
): { readonly bytes: OwnedBytes } | { readonly unshared: string } {
  if (memory === 'private') return { unshared: 'not wanted' };
  const pages = sharedPagesFor(machine);
  const unshared = whyNotShared(pages);
  if (unshared === undefined) return { bytes: shareProgram(program, pages) };
  if (memory === 'auto') return { unshared };
  throw new VitrineError('unsupported', { missing: 'shared memory', reason: unshared });
}

/**
 * The `wasm_fn` option of an emulator that an embedder builds, so that `adoptV86` can follow its writes:
 * `new V86({ …, wasm_fn: trackedWasmFn(bytesOfV86Wasm) })`. With shared memory:
 * `trackedWasmFn(await compileV86(bytesOfV86Wasm, { memory: 'auto' }))`. `orderly` is for machines that `openV86` makes.
 */
export function trackedWasmFn(
  program: OwnedBytes | ArrayBuffer | V86Program,
  instantiate: Instantiate = WebAssembly.instantiate,
  orderly?: OrderlyCode,
): (imports: WebAssembly.Imports) => Promise<WebAssembly.Exports> {
  return async (imports) => {
    const compiled = 'module' in program ? program : await compileV86(new Uint8Array(program));
    let exports: WebAssembly.Exports | undefined;
    const isShared = compiled.isShared === true;
    const given =
      isShared || orderly !== undefined
        ? withCompiledCode(imports, () => exports!, { isShared, orderly })
        : imports;
    exports = (await instantiate(compiled.module, given)).exports;
    programs.set(exports, compiled);
    return exports;
  };
}

/** The program of an instance that `trackedWasmFn` made. */
export function programOf(exports: WebAssembly.Exports): V86Program | undefined {
  return programs.get(exports);
}

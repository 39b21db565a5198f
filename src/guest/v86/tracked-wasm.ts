// v86's program as its `wasm_fn` option wants it, with marks where that is possible. What cannot be rewritten runs as it
// is, and why is kept with its exports, where the guest finds it.

import type { OwnedBytes } from '../../base/bytes.ts';
import { trackProgram } from './track-program.ts';

/** A compiled program of v86. */
export interface V86Program {
  readonly module: WebAssembly.Module;
  /** Why it marks no pages; undefined when it does. */
  readonly untracked: string | undefined;
}

/** Makes an instance: `WebAssembly.instantiate`, or what an embedder puts in its place. */
export type Instantiate = (
  program: WebAssembly.Module,
  imports: WebAssembly.Imports,
) => Promise<WebAssembly.Instance>;

/** By the exports of the instances made here. */
const untrackedReasons = new WeakMap<WebAssembly.Exports, string>();

/**
 * Compiles v86's program, made to mark the pages it writes. One compilation serves many guests: pass its `module` to
 * `openV86`. Throws `argument-invalid` when the bytes are no module.
 */
export async function compileV86(program: OwnedBytes): Promise<V86Program> {
  const tracked = trackProgram(program);
  if ('untracked' in tracked) return { module: await WebAssembly.compile(program), ...tracked };
  return { module: await WebAssembly.compile(tracked.bytes), untracked: undefined };
}

/**
 * The `wasm_fn` option of an emulator that an embedder builds, so that `adoptV86` can follow its writes:
 * `new V86({ …, wasm_fn: trackedWasmFn(bytesOfV86Wasm) })`.
 */
export function trackedWasmFn(
  program: OwnedBytes | ArrayBuffer | V86Program,
  instantiate: Instantiate = WebAssembly.instantiate,
): (imports: WebAssembly.Imports) => Promise<WebAssembly.Exports> {
  return async (imports) => {
    const compiled = 'module' in program ? program : await compileV86(new Uint8Array(program));
    const { exports } = await instantiate(compiled.module, imports);
    if (compiled.untracked !== undefined) untrackedReasons.set(exports, compiled.untracked);
    return exports;
  };
}

/** Why an instance made by `trackedWasmFn` marks no pages, when that is known. */
export function untrackedReason(exports: WebAssembly.Exports): string | undefined {
  return untrackedReasons.get(exports);
}

// The host's side of a barrier: a function that an instance calls with the index of a page before it writes to that page for
// the first time since `armBarrier`.

import { VitrineError } from '../base/error.ts';
import { INSTRUMENT_EXPORTS } from './added-code.ts';
import { clearMarks, type MapLayout } from './map-layout.ts';

/**
 * Gets the index of a page whose bytes are still the old ones. It must not call into the program, and not throw. The page
 * may lie past the end of the guest's memory: the guard's does.
 */
export type BeforeWrite = (page: number) => void;

/**
 * Imports a function of a number and exports it: only functions that came out of a module go into its table.
 *
 *   (module (import "e" "f" (func (param i32))) (export "f" (func 0)))
 */
// biome-ignore format: bytes in their sections.
const PASS_ON = Uint8Array.of(
  0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
  1, 5, 1, 0x60, 1, 0x7f, 0,
  2, 7, 1, 1, 0x65, 1, 0x66, 0, 0,
  7, 5, 1, 1, 0x66, 0, 0,
);

/**
 * Forgets all marks, and has `beforeWrite` called once for each page before it is written. Pages that the program writes
 * at constant addresses are told of at once. Only while no call is inside the program.
 *
 * Of several instances with one memory each needs its own call. Throws `argument-invalid` for exports without barriers.
 */
export function armBarrier(
  exports: Readonly<Record<string, unknown>>,
  memory: { readonly buffer: ArrayBufferLike },
  map: MapLayout,
  beforeWrite: BeforeWrite,
): void {
  const found = barrierOf(exports);
  if (found === undefined) {
    throw new VitrineError('argument-invalid', { name: 'exports', reason: 'made without barriers' });
  }
  found.hook.set(0, functionOf(beforeWrite));
  found.armed.value = 1;
  clearMarks(memory.buffer, map);
  for (const page of map.alwaysPages) beforeWrite(page);
}

/** Has nothing called any more. Marks are still made. */
export function disarmBarrier(exports: Readonly<Record<string, unknown>>): void {
  const found = barrierOf(exports);
  if (found === undefined) return;
  found.armed.value = 0;
  found.hook.set(0, null);
}

interface BarrierExports {
  readonly hook: { set(index: number, value: unknown): void };
  readonly armed: { value: unknown };
}

function barrierOf(exports: Readonly<Record<string, unknown>>): BarrierExports | undefined {
  const [hook, armed] = [exports[INSTRUMENT_EXPORTS.hook], exports[INSTRUMENT_EXPORTS.armed]];
  if (hook === undefined || armed === undefined) return undefined;
  // Safe: the rewriter added both, a table and a global, and refuses modules that have such names.
  return { hook, armed } as BarrierExports;
}

function functionOf(beforeWrite: BeforeWrite): unknown {
  const f = (page: number): void => beforeWrite(page >>> 0);
  return new WebAssembly.Instance(new WebAssembly.Module(PASS_ON), { e: { f } }).exports.f;
}

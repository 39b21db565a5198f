// What the killed process and its test both know: bytes that follow from a name.

import type { OwnedBytes } from '../../src/base/bytes.ts';

export const REF = 'refs/snapshots/head';

/** Some ten thousand bytes that only this name has. */
export function objectOf(name: string): OwnedBytes {
  return new Uint8Array(new TextEncoder().encode(`${name} `.repeat(1000)));
}

/** What the ref holds at a step: the step, and the object that must be there. */
export function refOf(step: number, name: string): OwnedBytes {
  return new Uint8Array(new TextEncoder().encode(`${step} ${name}`));
}

/** The way back. */
export function stepOf(ref: OwnedBytes): { readonly step: number; readonly name: string } {
  const [step, name] = new TextDecoder().decode(ref).split(' ');
  return { step: Number(step), name: name ?? '' };
}

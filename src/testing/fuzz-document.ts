// Documents of the fuzzing examples: changed at random, and shown.

import type { Random } from './random.ts';

/** Small numbers, and those at which signed bytes turn over. */
const INTERESTING = [0, 1, 2, 3, 16, 0x7f, 0x80, 0xff];

/** Writes a changed copy of `from` into `into`; returns its length. */
export function mutate(random: Random, from: Uint8Array, into: Uint8Array): number {
  into.set(from);
  let length = from.length;
  for (let left = 1 + random.below(3); left > 0; left--) {
    const at = random.below(length);
    const kind = random.below(4);
    if (kind === 0) into[at] = random.u32();
    else if (kind === 1) into[at]! ^= 1 << random.below(8);
    else if (kind === 2) into[at] = random.pick(INTERESTING);
    else if (length < into.length) into[length++] = random.u32();
  }
  return length;
}

export function showBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

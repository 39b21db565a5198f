// Bytes written into a guest as its own program could have written them: it rests for as long as that takes, and its tracker
// finds them as it finds others.

import type { OwnedBytes } from '../../base/bytes.ts';
import { type PeekRange, spansOf } from '../../engine/peek.ts';
import type { Guest } from '../../guest/guest.ts';

/** Throws `span-out-of-range`, `not-found`, and what the guest throws. */
export async function pokeGuest(guest: Guest, range: PeekRange, bytes: OwnedBytes): Promise<void> {
  const spans = spansOf(guest.regions, range);
  await guest.pause();
  try {
    let at = 0;
    for (const span of spans) {
      await guest.writePages(span, bytes.subarray(at, at + span.lengthBytes));
      at += span.lengthBytes;
    }
  } finally {
    await guest.resume();
  }
}

// Memory that peeks of one session use again: new memory for each costs more than reading the guest, since the platform clears
// it, maps it page by page, and collects it.
//
// It is used again only when nobody holds it: no other call of the session, and no byte of it waits in the channel. It is held
// weakly, so that it goes when there is garbage to collect and a session that peeks no more keeps nothing.

import { type OwnedBytes, readyBytes } from '../base/bytes.ts';
import { BRIDGE_LIMITS } from './bridge-limits.ts';
import type { BridgeChannel } from './channel.ts';

type Allocate = (lengthBytes: number) => OwnedBytes;

export class ScratchMemory {
  readonly #channel: Pick<BridgeChannel, 'copies' | 'bufferedBytes'>;
  #kept: WeakRef<OwnedBytes> | null = null;
  /** Who has it. */
  #holder: Allocate | null = null;

  constructor(channel: Pick<BridgeChannel, 'copies' | 'bufferedBytes'>) {
    this.#channel = channel;
  }

  /** How to make arrays of `lengthBytes` together, with anything in them; what is more than that is new memory. */
  take(lengthBytes: number): Allocate {
    const isShort = lengthBytes > 0 && lengthBytes <= BRIDGE_LIMITS.scratchBytes;
    const isFree =
      this.#channel.copies === true && this.#holder === null && this.#channel.bufferedBytes === 0;
    if (!isShort || !isFree) return readyBytes;
    let memory = this.#kept?.deref();
    if (memory === undefined || memory.length < lengthBytes) {
      memory = readyBytes(lengthBytes);
      this.#kept = new WeakRef(memory);
    }
    const whole = memory;
    let used = 0;
    const allocate: Allocate = (bytes) => {
      if (used + bytes > whole.length) return readyBytes(bytes);
      used += bytes;
      return whole.subarray(used - bytes, used);
    };
    this.#holder = allocate;
    return allocate;
  }

  /** Ends the use of what `take` gave; bytes of it may wait in the channel still. May be called again. */
  giveBack(allocate: Allocate): void {
    if (this.#holder === allocate) this.#holder = null;
  }
}

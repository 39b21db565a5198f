// Two ends of a channel in one process: a command that works on a store at hand speaks to it as to a bridge far away.

import type { OwnedBytes } from '../../base/bytes.ts';
import type { BridgeChannel } from '../../bridge/channel.ts';

/** A pair; what one end sends the other gets, in order, in a later turn. */
export function localChannelPair(): readonly [BridgeChannel, BridgeChannel] {
  const [a, b] = [new LocalChannel(), new LocalChannel()];
  a.peer = b;
  b.peer = a;
  return [a, b];
}

class LocalChannel implements BridgeChannel {
  onMessage: ((message: OwnedBytes) => void) | null = null;
  onClose: (() => void) | null = null;
  onDrain: (() => void) | null = null;
  peer: LocalChannel | null = null;
  #isClosed = false;
  #waitingBytes = 0;

  get bufferedBytes(): number {
    return this.#waitingBytes;
  }

  send(message: OwnedBytes): void {
    if (this.#isClosed) return;
    this.#waitingBytes += message.length;
    setImmediate(() => {
      this.#waitingBytes -= message.length;
      const { peer } = this;
      if (peer !== null && !peer.#isClosed) peer.onMessage?.(message);
      if (this.#waitingBytes === 0) this.onDrain?.();
    });
  }

  close(): void {
    for (const end of [this, this.peer]) {
      if (end === null || end.#isClosed) continue;
      end.#isClosed = true;
      setImmediate(() => end.onClose?.());
    }
  }
}

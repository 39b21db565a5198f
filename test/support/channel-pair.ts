// Two ends of a channel in memory. Messages arrive in later turns, cut or merged as a test wants; an end can be told to
// take nothing for a while, as a reader that is slow or gone.

import type { OwnedBytes } from '../../src/base/bytes.ts';
import { concatBytes } from '../../src/base/bytes.ts';
import type { BridgeChannel } from '../../src/bridge/channel.ts';

export interface PairOptions {
  /** How a message from one end is cut on its way; as it is when left out. */
  readonly cut?: (message: OwnedBytes) => OwnedBytes[];
  /** Whether messages are lent: as soon as they were handed over, something else is in their memory. */
  readonly lends?: boolean;
}

export class MemoryChannel implements BridgeChannel {
  onMessage: ((message: OwnedBytes) => void) | null = null;
  onClose: (() => void) | null = null;
  onDrain: (() => void) | null = null;
  closeCode: number | null = null;
  closeReason = '';
  /** The other end. */
  peer: MemoryChannel | null = null;
  /** Most bytes that ever waited here to be taken by the other end. */
  peakBufferedBytes = 0;
  readonly lends: boolean;
  readonly #cut: (message: OwnedBytes) => OwnedBytes[];
  readonly #queue: OwnedBytes[] = [];
  #isHeld = false;
  #isPumping = false;
  #closed = false;
  #bufferedBytes = 0;

  constructor(options: PairOptions) {
    this.lends = options.lends === true;
    this.#cut = options.cut ?? ((message) => [message]);
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  send(message: OwnedBytes): void {
    if (this.#closed) return;
    this.#queue.push(...this.#cut(message));
    this.#bufferedBytes += message.length;
    this.peakBufferedBytes = Math.max(this.peakBufferedBytes, this.#bufferedBytes);
    void this.#pump();
  }

  /** What this end sends is not taken until `release`. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    void this.#pump();
  }

  close(code: number, reason: string): void {
    this.#closeBoth(code, reason);
  }

  /** The connection breaks: what is under way is lost. */
  cut(): void {
    this.#queue.length = 0;
    this.#closeBoth(1006, 'cut');
  }

  #closeBoth(code: number, reason: string): void {
    for (const end of [this, this.peer]) {
      if (end === null || end.#closed) continue;
      end.#closed = true;
      end.closeCode = code;
      end.closeReason = reason;
      queueMicrotask(() => end.onClose?.());
    }
  }

  #handOver(message: OwnedBytes): void {
    const memory = this.lends ? message.slice() : message;
    this.peer?.onMessage?.(memory);
    if (this.lends) memory.fill(0xee);
  }

  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (!this.#isHeld && this.#queue.length > 0) {
      // A turn of its own, as from a socket.
      await new Promise<void>((next) => setImmediate(next));
      if (this.#isHeld) break;
      const message = this.#queue.shift();
      if (message === undefined) break;
      this.#bufferedBytes -= message.length;
      if (this.peer?.isClosed === false) this.#handOver(message);
      if (this.#bufferedBytes === 0) this.onDrain?.();
    }
    this.#isPumping = false;
  }
}

/** A pair; both ends cut alike. */
export function channelPair(options: PairOptions = {}): [MemoryChannel, MemoryChannel] {
  const [a, b] = [new MemoryChannel(options), new MemoryChannel(options)];
  a.peer = b;
  b.peer = a;
  return [a, b];
}

/** Cuts a message into pieces of so many bytes. */
export function piecesOf(message: OwnedBytes, lengthBytes: number): OwnedBytes[] {
  const pieces: OwnedBytes[] = [];
  for (let at = 0; at < message.length; at += lengthBytes) {
    pieces.push(concatBytes([message.subarray(at, at + lengthBytes)]));
  }
  return pieces;
}

// One WebSocket as the channel of a session, with an end to all that could grow.
//
// Outbound: past the high-water mark the peer is no longer read, until what waits has fallen below the low one; past
// `outboundBytes`, or when nothing has left for `stalledMs`, the connection is ended. Inbound: a message takes a token.
// Without one it waits, what follows it is left in the kernel's buffers, and `tick` lets it go on.
//
// What is sent in one go leaves in one call of the system: an answer behind its data, headers before bodies.

import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import type { OwnedBytes } from '../../base/bytes.ts';
import type { BridgeChannel } from '../../bridge/channel.ts';
import type { Metrics } from './metrics.ts';
import type { ServerLimits } from './server-limits.ts';

export interface SocketChannelOptions {
  readonly limits: ServerLimits;
  readonly metrics: Metrics;
  readonly nowMs: () => number;
}

export class SocketChannel implements BridgeChannel {
  onMessage: ((message: OwnedBytes) => void) | null = null;
  onClose: (() => void) | null = null;
  onDrain: (() => void) | null = null;
  /** As `onClose`, for the server; the session has that one. */
  onEnd: (() => void) | null = null;
  readonly copies = true;
  readonly #socket: WebSocket;
  readonly #line: Duplex;
  #isGathering = false;
  readonly #options: SocketChannelOptions;
  #waiting: OwnedBytes[] = [];
  #tokens: number;
  #refilledMs: number;
  #sentBytes = 0;
  #gone = { bytes: 0, sinceMs: 0 };
  #isFull = false;
  #isAboveLow = false;
  #endedFor: string | undefined;

  /** `line` is what the socket writes to. */
  constructor(socket: WebSocket, line: Duplex, options: SocketChannelOptions) {
    this.#socket = socket;
    this.#line = line;
    this.#options = options;
    this.#tokens = options.limits.messageBurst;
    this.#refilledMs = options.nowMs();
    this.#gone.sinceMs = this.#refilledMs;
    socket.on('message', (data, isBinary) => this.#receive(data, isBinary));
    // What ws finds wrong with the wire closes the socket with its own code right after.
    socket.on('error', (error) => {
      this.#endedFor ??= String((error as NodeJS.ErrnoException).code ?? 'error');
    });
    socket.on('close', () => {
      this.#waiting = [];
      this.onClose?.();
      this.onEnd?.();
    });
  }

  /** Bytes that were sent and have not left this process. */
  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  /** Why it ended, where that was this side's doing. */
  get endedFor(): string | undefined {
    return this.#endedFor;
  }

  /** Sends one message; after the end it does nothing. The bytes are not kept once they have left. */
  send(message: OwnedBytes): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    const { limits, metrics } = this.#options;
    if (this.bufferedBytes + message.length > limits.outboundBytes) {
      this.#terminate('outbound-full');
      return;
    }
    if (this.bufferedBytes === 0) this.#gone = { bytes: this.#sentBytes, sinceMs: this.#options.nowMs() };
    this.#sentBytes += message.length;
    metrics.add('vitrine_bridge_messages_total', { direction: 'out' });
    metrics.add('vitrine_bridge_bytes_total', { direction: 'out' }, message.length);
    this.#gather();
    this.#socket.send(message, { binary: true }, () => this.#regulate());
    this.#regulate();
  }

  /** Ends it with a code; what was sent before still goes out. */
  close(code: number, reason: string): void {
    this.#endedFor ??= reason;
    this.#waiting = [];
    // The peer's answer has to be read.
    this.#socket.resume();
    this.#socket.close(code, reason.slice(0, 120));
  }

  /** Ends it now. */
  terminate(): void {
    this.#socket.terminate();
  }

  /** What time brings: tokens, and the end of who takes nothing. Called some times a second. */
  tick(): void {
    const { limits, nowMs } = this.#options;
    const now = nowMs();
    const gained = ((now - this.#refilledMs) * limits.messagesPerSecond) / 1_000;
    this.#tokens = Math.min(limits.messageBurst, this.#tokens + gained);
    this.#refilledMs = now;
    const goneBytes = this.#sentBytes - this.bufferedBytes;
    if (this.bufferedBytes === 0 || goneBytes !== this.#gone.bytes) {
      this.#gone = { bytes: goneBytes, sinceMs: now };
    } else if (now - this.#gone.sinceMs >= limits.stalledMs) {
      this.#terminate('stalled');
      return;
    }
    this.#deliver();
    this.#regulate();
  }

  #receive(data: RawData, isBinary: boolean): void {
    if (this.#endedFor !== undefined) return;
    if (!isBinary) {
      this.close(1003, 'text-message');
      return;
    }
    // Safe: `nodebuffer` is what ws gives unless told otherwise, never a list; its memory is never shared.
    const message = data as Buffer<ArrayBuffer>;
    this.#options.metrics.add('vitrine_bridge_messages_total', { direction: 'in' });
    this.#options.metrics.add('vitrine_bridge_bytes_total', { direction: 'in' }, message.length);
    this.#waiting.push(message);
    this.#deliver();
    if (this.#waiting.length > 0) this.#options.metrics.add('vitrine_bridge_throttled_total');
    this.#regulate();
  }

  #deliver(): void {
    while (this.#waiting.length > 0 && this.#endedFor === undefined) {
      if (this.#tokens < 1) return;
      this.#tokens -= 1;
      this.onMessage?.(this.#waiting.shift()!);
    }
  }

  /** What is sent before this turn's promises are through leaves together. */
  #gather(): void {
    if (this.#isGathering) return;
    this.#isGathering = true;
    this.#line.cork();
    process.nextTick(() => {
      this.#isGathering = false;
      this.#line.uncork();
    });
  }

  /** Reads the peer or leaves it waiting. */
  #regulate(): void {
    const { highWaterBytes, lowWaterBytes } = this.#options.limits;
    if (this.bufferedBytes > highWaterBytes) this.#isFull = true;
    if (this.bufferedBytes >= lowWaterBytes) {
      this.#isAboveLow = true;
    } else if (this.#isAboveLow) {
      this.#isFull = this.#isAboveLow = false;
      // The session has a mark of its own; it is told whenever this one's low mark is passed.
      this.onDrain?.();
    }
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    const shouldPause = this.#isFull || this.#waiting.length > 0;
    if (shouldPause === this.#socket.isPaused) return;
    if (shouldPause) this.#socket.pause();
    else this.#socket.resume();
  }

  #terminate(why: string): void {
    this.#endedFor ??= why;
    this.#socket.terminate();
  }
}

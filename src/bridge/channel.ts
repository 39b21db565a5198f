// The channel port: a duplex of binary messages, in order and without loss until it closes. A WebSocket is one, and so is
// a pair of pipes; how a message was cut means nothing.

import type { OwnedBytes } from '../base/bytes.ts';

/** The WebSocket subprotocol: it has the version of the protocol in it. */
export const SUBPROTOCOL = 'vitrine.v1';

/** Why a channel was closed: the status codes of WebSockets (RFC 6455, section 7.4), for whoever has such. */
export const CLOSE_CODES = {
  /** The session is over. */
  normal: 1000,
  /** The other end broke the protocol. */
  protocol: 1002,
  /** The host goes down. */
  restart: 1012,
} as const;

export interface BridgeChannel {
  /** Queues a message; never blocks, and does nothing once the channel is closed. The bytes are the channel's from now on. */
  send(message: OwnedBytes): void;
  /** Bytes queued that the platform has not taken yet. */
  readonly bufferedBytes: number;
  /**
   * Whether bytes that are no longer buffered were copied away, so that their memory can be used again. Absent where the other
   * end may hold the very bytes that were sent.
   */
  readonly copies?: boolean;
  /** Whether the bytes of a message are lent: their memory is used again when `onMessage` returns. Absent where they are not. */
  readonly lends?: boolean;
  /** Set by whoever uses the channel, before messages come. */
  onMessage: ((message: OwnedBytes) => void) | null;
  /** Called once, whichever end closed it. */
  onClose: (() => void) | null;
  /** Called when `bufferedBytes` has fallen far enough to go on; a channel that cannot tell reports 0 buffered bytes. */
  onDrain: (() => void) | null;
  /** Closes it; may be called again. `reason` is for people, at most 123 bytes. */
  close(code: number, reason: string): void;
}

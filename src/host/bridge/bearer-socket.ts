// The WebSocket of programs: it comes with the token of a token file, which a browser's could not send.

import WebSocket from 'ws';
import type { WebSocketConstructor } from '../../bridge/web-socket-channel.ts';
import { SERVER_LIMITS } from './server-limits.ts';

/** A constructor as a browser's, whose sockets hold `token`. */
export function bearerSocket(token: string): WebSocketConstructor {
  class BearerSocket extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols, {
        headers: { Authorization: `Bearer ${token}` },
        perMessageDeflate: false,
        maxPayload: SERVER_LIMITS.messageBytes,
        handshakeTimeout: 10_000,
        followRedirects: false,
      });
    }
  }
  // Safe: ws has the standard's members; its types of events are narrower than what the channel looks at.
  return BearerSocket as unknown as WebSocketConstructor;
}

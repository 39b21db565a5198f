// The WebSocket of programs: it comes with the token of a token file, which a browser's could not send, and it hears why it
// was refused, which a browser's does not say.

import type { IncomingMessage } from 'node:http';
import WebSocket, { type ClientOptions } from 'ws';
import { VitrineError } from '../../base/error.ts';
import type { WebSocketConstructor } from '../../bridge/web-socket-channel.ts';
import { SERVER_LIMITS } from './server-limits.ts';
import { type ByteReader, type ConnectionOptions, connectStraight } from './straight-connection.ts';

/** A body of a refusal is some hundred bytes. */
const MAX_REFUSAL_BYTES = 4_096;

/**
 * A constructor as a browser's, whose sockets hold `token`. `onRefused` is told why a bridge did not let one in, before
 * the socket fails.
 */
export function bearerSocket(token: string, onRefused: (reason: VitrineError) => void): WebSocketConstructor {
  class BearerSocket extends WebSocket {
    /** Who takes the bytes of messages as they come, instead of messages. */
    reader: ByteReader = null;

    constructor(url: string, protocols: string[]) {
      const options: ClientOptions = {
        headers: { Authorization: `Bearer ${token}` },
        perMessageDeflate: false,
        maxPayload: SERVER_LIMITS.messageBytes,
        handshakeTimeout: 10_000,
        followRedirects: false,
      };
      // What is encrypted is copied by that already. Nothing is read before this constructor is over.
      const createConnection = ({ socketPath, ...wanted }: ConnectionOptions) => {
        const path = socketPath && decodeURIComponent(socketPath);
        return connectStraight({ ...wanted, socketPath: path }, () => this.reader);
      };
      super(url, protocols, isPlain(url) ? ({ ...options, createConnection } as ClientOptions) : options);
      this.on('unexpected-response', (_request, answer) => {
        void refusalIn(answer).then((reason) => {
          onRefused(reason);
          this.terminate();
        });
      });
    }
  }
  // Safe: ws has the standard's members; its types of events are narrower than what the channel looks at.
  return BearerSocket as unknown as WebSocketConstructor;
}

/** The address of a bridge's socket of this host: an address has neither spaces nor letters of all languages, and a path may. */
export function socketAddress(path: string): string {
  return `ws+unix:${path.split('/').map(encodeURIComponent).join('/')}:/bridge`;
}

/** Whether bytes go as they are: over a network, or by a socket of this host. */
function isPlain(url: string): boolean {
  return /^ws(\+unix)?:/.test(url);
}

/** What a bridge answered, as an error of this release. Never throws. */
async function refusalIn(answer: IncomingMessage): Promise<VitrineError> {
  let text = '';
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      text += chunk.toString('utf8');
      if (text.length > MAX_REFUSAL_BYTES) break;
    }
    const { code, allowedBy } = JSON.parse(text) as { code?: unknown; allowedBy?: unknown };
    const isFull = answer.statusCode === 429 || answer.statusCode === 503;
    const data = { refusal: String(code), allowedBy: String(allowedBy) };
    return new VitrineError(isFull ? 'overloaded' : 'permission-denied', data);
  } catch {
    return new VitrineError('connection-lost', { status: answer.statusCode ?? 0 });
  }
}

// What the bridge answers to those it does not let in: a real HTTP status, a stable code, and what would allow it.

/** Status, meaning and remedy of each code. A code is API and never becomes something else. */
export const REFUSALS = {
  'path-unknown': [404, 'Nothing is served there.', 'The page is at /, the WebSocket at /bridge.'],
  'method-not-allowed': [405, 'That path takes another method.', 'See the header Allow.'],
  'upgrade-required': [426, 'That path takes WebSockets alone.', 'Open it as a WebSocket.'],
  'handshake-too-large': [
    431,
    'The headers are too large or too many.',
    'limits.handshakeBytes, limits.handshakeHeaders',
  ],
  'host-not-allowed': [421, 'The Host header names a host that this bridge is not.', '--allow-host NAME'],
  'origin-not-allowed': [403, 'A page of another origin asks.', '--allow-origin ORIGIN'],
  'origin-missing': [
    403,
    'Only holders of a bearer token come without an Origin.',
    'Authorization: Bearer TOKEN',
  ],
  'site-not-allowed': [403, 'A page of another site asks.', 'Open the page that the bridge serves.'],
  'protocol-missing': [
    400,
    'The subprotocol vitrine.v1 was not offered.',
    'Sec-WebSocket-Protocol: vitrine.v1',
  ],
  'ticket-missing': [
    401,
    'A page needs a ticket.',
    'POST /ticket, then Sec-WebSocket-Protocol: vitrine.v1, ticket.TICKET',
  ],
  'ticket-invalid': [401, 'The ticket is unknown, used or expired.', 'POST /ticket for another one'],
  'token-invalid': [
    401,
    'The bearer token is not one of this bridge.',
    'It is in the token file, and new after each start; one of the configuration has 20 to 128 characters.',
  ],
  'key-invalid': [401, 'The address was opened before, or has expired.', 'vitrine open prints another one'],
  'session-missing': [
    401,
    'There is no session.',
    'Open the address that the bridge printed; vitrine open prints another one.',
  ],
  'permission-denied': [403, 'More is asked for than this visitor may.', 'access in the configuration file'],
  'visitor-unknown': [
    404,
    'Nobody of that name is in the configuration.',
    'tokens in the configuration file',
  ],
  'body-invalid': [
    400,
    'The body is not what this path takes.',
    'application/json; see src/host/bridge/README.md',
  ],
  'body-too-large': [413, 'The body is too large.', 'limits.bodyBytes'],
  'connections-full': [503, 'The bridge serves as many connections as it may.', 'limits.connections'],
  'session-connections-full': [
    429,
    'This session has as many connections as it may.',
    'limits.connectionsPerSession',
  ],
  'too-slow': [408, 'The request did not arrive in time.', 'limits.handshakeMs, limits.requestMs'],
  'request-invalid': [400, 'That is no HTTP.', 'Send HTTP/1.1.'],
  failed: [500, 'The bridge failed at it.', 'See its log.'],
  closing: [503, 'The bridge is closing.', 'Come back when it runs again.'],
} as const satisfies Record<string, readonly [status: number, meaning: string, allowedBy: string]>;

export type RefusalCode = keyof typeof REFUSALS;

/** Thrown by what handles a request; the server turns it into the answer. */
export class Refusal extends Error {
  readonly code: RefusalCode;

  constructor(code: RefusalCode) {
    super(code);
    this.code = code;
  }

  get status(): number {
    return REFUSALS[this.code][0];
  }

  /** The body of the answer. */
  toJSON(): { readonly code: RefusalCode; readonly message: string; readonly allowedBy: string } {
    const [, message, allowedBy] = REFUSALS[this.code];
    return { code: this.code, message, allowedBy };
  }
}

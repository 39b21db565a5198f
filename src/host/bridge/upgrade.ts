// Whether a WebSocket is let in. The order is fixed: path, size, Host, Origin, credentials, room. Nothing is kept of
// who fails, and a ticket is used up only by who passed what stands before it.

import type { IncomingMessage } from 'node:http';
import { type Identity, type Keyring, TICKET_PREFIX } from './keyring.ts';
import { Refusal } from './refusal.ts';
import type { ServerLimits } from './server-limits.ts';
import { checkHost, checkOrigin, type DoorPolicy } from './visitor.ts';

/** The one path of WebSockets. */
export const BRIDGE_PATH = '/bridge';

/** The subprotocol that the server speaks and selects; tickets are never echoed. */
export const SUBPROTOCOL = 'vitrine.v1';

export interface Door {
  readonly policy: DoorPolicy;
  readonly limits: ServerLimits;
  readonly keyring: Keyring;
  /** Connections that are open: all, and of one identity. */
  connectionCount(id?: string): number;
  readonly isClosing: boolean;
}

/** Who comes in. Throws a `Refusal`. */
export function admit(request: IncomingMessage, door: Door): Identity {
  const { headers } = request;
  if (request.url !== BRIDGE_PATH) throw new Refusal('path-unknown');
  if (request.method !== 'GET') throw new Refusal('method-not-allowed');
  checkSize(request, door.limits);
  checkHost(headers, door.policy);
  const isPage = checkOrigin(headers, door.policy);
  const identity = identify(headers, isPage, door.keyring);
  if (door.isClosing) throw new Refusal('closing');
  const { connections, connectionsPerSession } = door.limits;
  if (door.connectionCount() >= connections) throw new Refusal('connections-full');
  if (door.connectionCount(identity.id) >= connectionsPerSession) {
    throw new Refusal('session-connections-full');
  }
  return identity;
}

function checkSize({ rawHeaders }: IncomingMessage, limits: ServerLimits): void {
  let bytes = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!;
    if (name.toLowerCase() !== 'cookie') bytes += name.length + rawHeaders[index + 1]!.length + 4;
  }
  if (bytes > limits.handshakeBytes || rawHeaders.length / 2 > limits.handshakeHeaders) {
    throw new Refusal('handshake-too-large');
  }
}

function identify(headers: IncomingMessage['headers'], isPage: boolean, keyring: Keyring): Identity {
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  const bearer = keyring.bearer(headers);
  if (bearer === undefined && !isPage) throw new Refusal('origin-missing');
  if (!offered.includes(SUBPROTOCOL)) throw new Refusal('protocol-missing');
  const ticket = offered.find((name) => name.startsWith(TICKET_PREFIX));
  if (ticket !== undefined) return keyring.takeTicket(ticket.slice(TICKET_PREFIX.length));
  if (bearer !== undefined) return bearer;
  throw new Refusal('ticket-missing');
}

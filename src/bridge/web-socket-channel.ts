// A channel over a WebSocket: the browser's, Node's own, or that of the package `ws`, handed in.

import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { type BridgeChannel, SUBPROTOCOL } from './channel.ts';

/** What is used of a WebSocket. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly protocol: string;
  send(message: OwnedBytes): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: 'open' | 'close' | 'error' | 'message', listener: (event: unknown) => void): void;
  /**
   * Of a socket that has it: set, it gets the bytes of messages as they come, cut anyhow, in memory that is used again when it
   * returns; for those messages there is no event.
   */
  reader?: ((bytes: OwnedBytes) => void) | null;
}

/** Its third argument is that of the package `ws`; others pass over it. */
export type WebSocketConstructor = new (
  url: string,
  protocols: string[],
  options?: { readonly headers: Readonly<Record<string, string>> },
) => WebSocketLike;

export interface WebSocketOptions {
  /** The global one when left out. */
  readonly WebSocket?: WebSocketConstructor;
  /** A one-use ticket of the host, for clients that cannot send headers. */
  readonly ticket?: string;
  /** A token of the host, for the WebSocket of the package `ws`, which can send headers. */
  readonly token?: string;
}

/**
 * Opens a channel to a bridge's address (`ws:` or `wss:`).
 *
 * Throws `argument-invalid` for an address, ticket or token that can be none, `connection-lost` when it cannot be opened, and `unsupported` where there is no WebSocket or the other end speaks
 * another protocol. A browser does not say why it could not: the host's log does.
 */
export async function openWebSocketChannel(
  url: string,
  options: WebSocketOptions = {},
): Promise<BridgeChannel> {
  // Safe: a platform either has the standard's constructor by that name or nothing.
  const Socket = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (Socket === undefined) throw new VitrineError('unsupported', { missing: 'WebSocket' });
  const socket = construct(Socket, url, options);
  socket.binaryType = 'arraybuffer';
  await new Promise<void>((resolve, reject) => {
    const fail = (): void => reject(new VitrineError('connection-lost', { address: addressOf(url) }));
    socket.addEventListener('open', () => resolve());
    socket.addEventListener('error', fail);
    socket.addEventListener('close', fail);
  });
  if (socket.protocol !== SUBPROTOCOL) {
    socket.close(1000, 'subprotocol');
    throw new VitrineError('unsupported', { subprotocol: socket.protocol, required: SUBPROTOCOL });
  }
  return new WebSocketChannel(socket);
}

function construct(
  Socket: WebSocketConstructor,
  url: string,
  { ticket, token }: WebSocketOptions,
): WebSocketLike {
  const wanted = { name: 'target', value: url, wants: 'an address as ws://127.0.0.1:7333/bridge' };
  // `ws` has sockets of a host, too.
  if (!/^(wss?|ws\+unix):/.test(url)) throw new VitrineError('argument-invalid', wanted);
  // What stands in a header may hold no more than that.
  for (const [name, secret] of Object.entries({ ticket, token })) {
    if (secret !== undefined && !(typeof secret === 'string' && /^[\w.~+/=-]+$/.test(secret)))
      throw new VitrineError('argument-invalid', { name, wants: 'what the bridge gave out' });
  }
  const protocols = [SUBPROTOCOL, ...(ticket === undefined ? [] : [`ticket.${ticket}`])];
  const headers = { Authorization: `Bearer ${token}` };
  try {
    return token === undefined ? new Socket(url, protocols) : new Socket(url, protocols, { headers });
  } catch (cause) {
    throw new VitrineError('argument-invalid', wanted, { cause });
  }
}

class WebSocketChannel implements BridgeChannel {
  onMessage: ((message: OwnedBytes) => void) | null = null;
  onClose: (() => void) | null = null;
  onDrain: (() => void) | null = null;
  readonly lends: boolean;
  readonly #socket: WebSocketLike;
  #closed = false;

  constructor(socket: WebSocketLike) {
    this.#socket = socket;
    this.lends = socket.reader !== undefined;
    if (this.lends) socket.reader = (bytes) => this.onMessage?.(bytes);
    socket.addEventListener('message', (event) => {
      const { data } = event as { data: unknown };
      if (data instanceof ArrayBuffer) this.onMessage?.(new Uint8Array(data));
      // The protocol has no texts.
      else this.close(1003, 'text');
    });
    socket.addEventListener('close', () => {
      this.#closed = true;
      this.onClose?.();
    });
  }

  /** What a client streams is bounded by its credit: it never waits for a drain, of which a browser does not tell. */
  get bufferedBytes(): number {
    return 0;
  }

  send(message: OwnedBytes): void {
    if (!this.#closed) this.#socket.send(message);
  }

  close(code: number, reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    // Programs may give only 1000 and 3000 to 4999 as a reason (WHATWG WebSockets).
    this.#socket.close(code === 1000 ? code : 3000 + code, reason);
  }
}

/** A host's address without what may be secret in a URL. */
function addressOf(url: string): string {
  return url.replace(/[?#].*$/, '').slice(0, 200);
}

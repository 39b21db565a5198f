// A bridge's server on a free port of the loopback with a clock that stands still, and clients: raw ones that may send
// anything, and the WebSocket of `ws`.

import { connect, type Socket } from 'node:net';
import WebSocket, { type ClientOptions } from 'ws';
import type { BridgeChannel } from '../../../src/bridge/channel.ts';
import {
  type BridgeServer,
  type BridgeServerOptions,
  openBridgeServer,
  type Visitor,
} from '../../../src/host/bridge/bridge-server.ts';
import { newSecret } from '../../../src/host/bridge/secret-table.ts';
import { limitsWith, type ServerLimits } from '../../../src/host/bridge/server-limits.ts';

export interface TestServer {
  readonly server: BridgeServer;
  readonly port: number;
  readonly origin: string;
  readonly token: string;
  /** What connected, in order. */
  readonly begun: { readonly channel: BridgeChannel; readonly visitor: Visitor }[];
  readonly events: { readonly event: string; readonly fields: unknown }[];
  /** Lets time pass, in milliseconds, and the server see it. */
  pass(ms: number): void;
  close(): Promise<void>;
}

export interface TestServerOptions extends Partial<Omit<BridgeServerOptions, 'limits'>> {
  readonly limits?: Partial<ServerLimits>;
}

/** Opens one; sessions echo what they get unless told otherwise. */
export async function openTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const begun: TestServer['begun'] = [];
  const events: TestServer['events'] = [];
  const token = newSecret();
  let nowMs = 0;
  let tick = (): void => {};
  const { limits = {}, serve, ...rest } = options;
  const server = await openBridgeServer({
    listen: { host: '127.0.0.1', port: 0 },
    ownerToken: token,
    clock: { nowMs: () => nowMs, wallMs: () => nowMs },
    log: (_level, event, fields) => void events.push({ event, fields: fields ?? {} }),
    every: (_intervalMs, run) => {
      tick = run;
      return () => {};
    },
    ...rest,
    limits: limitsWith({ closingMs: 200, ...limits }),
    serve: (channel, visitor) => {
      begun.push({ channel, visitor });
      if (serve !== undefined) serve(channel, visitor);
      else channel.onMessage = (message) => channel.send(message);
    },
  });
  const { port } = server;
  return {
    ...{ server, port, token, begun, events },
    origin: `http://127.0.0.1:${port}`,
    pass(ms) {
      nowMs += ms;
      tick();
    },
    close: () => server.close(),
  };
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sends text, a byte a character, and reads until the peer closes, or until a switch of protocols. */
export function sendRaw(
  port: number,
  text: string,
  options: { readonly end?: boolean } = {},
): Promise<RawAnswer> {
  return new Promise((done, fail) => {
    const socket = connect(port, '127.0.0.1');
    let received = '';
    const settle = (): void => {
      socket.destroy();
      done(parseAnswer(received));
    };
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      if (received.startsWith('HTTP/1.1 101') && received.includes('\r\n\r\n')) settle();
    });
    socket.on('close', settle);
    socket.on('error', (error) => {
      if (received === '') fail(error);
    });
    if (options.end === true) socket.end(text, 'latin1');
    else socket.write(text, 'latin1');
  });
}

/** The text of an upgrade; a header of undefined is left out. */
export function upgradeText(
  server: { readonly port: number },
  changes: Readonly<Record<string, string | undefined>> = {},
  path = '/bridge',
): string {
  const headers: Record<string, string | undefined> = {
    Host: `127.0.0.1:${server.port}`,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    'Sec-WebSocket-Protocol': 'vitrine.v1',
    ...changes,
  };
  const lines = Object.entries(headers).map(([name, value]) =>
    value === undefined ? '' : `${name}: ${value}\r\n`,
  );
  return `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** The code in a refusal's body; the status where there is none. */
export function codeOf({ body, status }: RawAnswer): string {
  try {
    return (JSON.parse(body) as { code: string }).code;
  } catch {
    return String(status);
  }
}

/** A connection with the owner's token, open. */
export function connectOwner(
  server: { readonly port: number; readonly token: string },
  options: ClientOptions = {},
): Promise<WebSocket> {
  return connectWith(server, ['vitrine.v1'], { Authorization: `Bearer ${server.token}` }, options);
}

/** A connection with these subprotocols and headers, open. */
export async function connectWith(
  server: { readonly port: number },
  protocols: readonly string[],
  headers: Readonly<Record<string, string>>,
  options: ClientOptions = {},
): Promise<WebSocket> {
  const client = new WebSocket(`ws://127.0.0.1:${server.port}/bridge`, [...protocols], {
    headers: { ...headers },
    perMessageDeflate: false,
    ...options,
  });
  await new Promise<void>((done, fail) => {
    client.once('open', () => done());
    client.once('error', fail);
  });
  return client;
}

/** The code with which a connection ends. */
export function closeCodeOf(client: WebSocket): Promise<number> {
  return new Promise((done) => {
    client.on('error', () => {});
    client.once('close', (code) => done(code));
  });
}

/** The socket under a client, for bytes that no client would send. */
export function socketOf(client: WebSocket): Socket {
  // Safe: ws keeps it there since its first release; a test that finds none fails at once.
  const { _socket: socket } = client as unknown as { _socket: Socket };
  return socket;
}

function parseAnswer(text: string): RawAnswer {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [first = '', ...lines] = head.split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
  );
  return { status: Number(first.split(' ')[1] ?? 0), headers, body: rest.join('\r\n\r\n') };
}

// The server of the bridge: HTTP and WebSockets on one port. It lets in or refuses, counts and bounds; what a connection
// then says is the session's business, which it gets as `serve`.

import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ServerOptions, WebSocketServer } from 'ws';
import type { Clock } from '../../base/clock.ts';
import { VitrineError } from '../../base/error.ts';
import type { BridgeChannel } from '../../bridge/channel.ts';
import { atMostOnceASecond, type EventLog } from './event-log.ts';
import { type Identity, Keyring, type NamedToken } from './keyring.ts';
import type { SpareCounts } from './local-host.ts';
import { Metrics } from './metrics.ts';
import { PAGE_HEADERS } from './page-headers.ts';
import { Refusal } from './refusal.ts';
import { answer } from './routes.ts';
import type { ServerLimits } from './server-limits.ts';
import { SocketChannel } from './socket-channel.ts';
import type { StaticFolder } from './static-folder.ts';
import { admit, type Door, SUBPROTOCOL } from './upgrade.ts';
import { isLoopback } from './visitor.ts';

export interface BridgeServerOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer };
  /** Where programs of this host come in too, whatever TLS others need: a UNIX socket, in a folder of its owner alone. */
  readonly socketPath?: string | undefined;
  /** Something in front speaks TLS, and passes Host and Origin on. */
  readonly behindProxy?: boolean;
  readonly allowHosts?: readonly string[];
  readonly allowOrigins?: readonly string[];
  readonly limits: ServerLimits;
  readonly page?: StaticFolder | undefined;
  readonly images?: StaticFolder | undefined;
  readonly ownerToken: string;
  readonly tokens?: readonly NamedToken[];
  /** Begins a session on a channel; the channel's `onClose` ends it. */
  readonly serve: (channel: BridgeChannel, visitor: Visitor) => void;
  readonly clock: Clock;
  readonly log: EventLog;
  readonly metrics?: Metrics;
  /** Processes that wait for machines; none when left out. */
  readonly spares?: SpareCounts | undefined;
  readonly health?: () => Readonly<Record<string, string | number | boolean>>;
  /** Calls `run` again and again until the result is called. The platform's timer when left out. */
  readonly every?: (intervalMs: number, run: () => void) => () => void;
}

export interface Visitor extends Identity {
  /** The address of the peer. */
  readonly remote: string;
}

const TICK_MS = 100;

/** Starts to listen. Throws `argument-invalid` for an address that needs TLS, and what the platform throws. */
export async function openBridgeServer(options: BridgeServerOptions): Promise<BridgeServer> {
  const { host } = options.listen;
  if (!isLoopback(host) && options.tls === undefined && options.behindProxy !== true) {
    throw new VitrineError('argument-invalid', {
      name: 'listen',
      value: host,
      wants: 'a loopback address, --tls-cert and --tls-key, or --behind-proxy',
    });
  }
  const server = new BridgeServer(options);
  await server.listen();
  return server;
}

export class BridgeServer {
  readonly metrics: Metrics;
  readonly #options: BridgeServerOptions;
  readonly #http: Server;
  /** The one of `socketPath`. */
  readonly #local: Server | undefined;
  readonly #sockets: WebSocketServer;
  readonly #keyring: Keyring;
  readonly #door: Door;
  readonly #channels = new Map<SocketChannel, Identity>();
  readonly #logRefusal: EventLog;
  readonly #startMs: number;
  #stopTicking: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  #idleSinceMs: number;

  /** Not to be called by others: `openBridgeServer` is. */
  constructor(options: BridgeServerOptions) {
    const { limits, clock, tls } = options;
    this.#options = options;
    this.metrics = options.metrics ?? new Metrics();
    this.#logRefusal = atMostOnceASecond(options.log, () => clock.nowMs());
    this.#startMs = this.#idleSinceMs = clock.nowMs();
    this.#keyring = new Keyring({
      ownerToken: options.ownerToken,
      tokens: options.tokens ?? [],
      limits,
      clock,
    });
    const settings = {
      headersTimeout: limits.handshakeMs,
      requestTimeout: limits.requestMs,
      // How often Node looks for those who are late; 30 s unless told.
      connectionsCheckingInterval: Math.min(1_000, limits.handshakeMs),
      // Headers past this are refused by Node itself; `admit` has the smaller bound of upgrades.
      maxHeaderSize: 16 * 1024,
    };
    const handle = (request: IncomingMessage, response: ServerResponse) => {
      this.#handle(request, response).catch((error: unknown) => this.#fail(error));
    };
    this.#http =
      tls === undefined ? createServer(settings, handle) : createTlsServer({ ...settings, ...tls }, handle);
    this.#local = options.socketPath === undefined ? undefined : createServer(settings, handle);
    for (const server of this.#servers) {
      server.maxConnections = limits.sockets;
      server.on('clientError', (error: NodeJS.ErrnoException, socket) => this.#refuseBroken(error, socket));
      server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    }
    const bounds: ServerOptions & { maxFragments: number; maxBufferedChunks: number } = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: limits.messageBytes,
      maxFragments: limits.fragments,
      maxBufferedChunks: limits.bufferedChunks,
      handleProtocols: () => SUBPROTOCOL,
    };
    this.#sockets = new WebSocketServer(bounds);
    const countOf = (id?: string) =>
      id === undefined
        ? this.#channels.size
        : [...this.#channels.values()].filter((identity) => identity.id === id).length;
    const isClosing = () => this.#closing !== undefined;
    this.#door = {
      policy: {
        hosts: (options.allowHosts ?? []).map((name) => name.toLowerCase()).concat(options.listen.host),
        origins: options.allowOrigins ?? [],
        schemes: tls !== undefined ? ['https'] : options.behindProxy ? ['https', 'http'] : ['http'],
      },
      limits,
      keyring: this.#keyring,
      connectionCount: countOf,
      get isClosing() {
        return isClosing();
      },
    };
  }

  /** @internal */
  async listen(): Promise<void> {
    const { listen, socketPath, every = everyByTimer } = this.#options;
    await listenOn(this.#http, { host: listen.host, port: listen.port });
    if (this.#local !== undefined && socketPath !== undefined) {
      await listenOn(this.#local, { path: socketPath }).catch((error: unknown) => {
        this.#http.close();
        throw error;
      });
    }
    this.#stopTicking = every(TICK_MS, () => this.#tick());
  }

  get #servers(): readonly Server[] {
    return this.#local === undefined ? [this.#http] : [this.#http, this.#local];
  }

  get port(): number {
    // Safe: it listens on a port, not on a pipe.
    return (this.#http.address() as AddressInfo).port;
  }

  /** Where the page is, without a slash at the end. */
  get origin(): string {
    const { listen, tls, allowHosts } = this.#options;
    // Every address is none that a browser could go to.
    const isEvery = listen.host === '0.0.0.0' || listen.host === '::';
    const name = isEvery ? (allowHosts?.[0] ?? 'localhost') : listen.host;
    const host = name.includes(':') ? `[${name}]` : name;
    return `${tls === undefined ? 'http' : 'https'}://${host}:${this.port}`;
  }

  get connectionCount(): number {
    return this.#channels.size;
  }

  /** How long there has been no connection, in milliseconds. */
  get idleMs(): number {
    return this.#channels.size > 0 ? 0 : this.#options.clock.nowMs() - this.#idleSinceMs;
  }

  /** An address that opens the page as the owner, once. */
  mintAddress(): string {
    return this.#addressOf(this.#keyring.mintKey(this.#keyring.owner));
  }

  /** Lets nobody in any more, tells who is there (1012), and ends them when `closingMs` have passed. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closed = this.#servers.map((server) => new Promise<void>((done) => server.close(() => done())));
    for (const server of this.#servers) server.closeIdleConnections();
    for (const channel of this.#channels.keys()) channel.close(1012, 'closing');
    const late = setTimeout(() => {
      for (const channel of this.#channels.keys()) channel.terminate();
      for (const server of this.#servers) server.closeAllConnections();
    }, this.#options.limits.closingMs);
    await Promise.all(closed);
    clearTimeout(late);
    this.#stopTicking?.();
  }

  #tick(): void {
    for (const channel of this.#channels.keys()) channel.tick();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(PAGE_HEADERS)) response.setHeader(name, value);
    try {
      await answer(request, response, {
        policy: this.#door.policy,
        limits: this.#options.limits,
        keyring: this.#keyring,
        page: this.#options.page,
        images: this.#options.images,
        cookie: () => this.#cookie(),
        addressOf: (key) => this.#addressOf(key),
        metricsText: () => this.#metricsText(),
        health: () => this.#options.health?.() ?? {},
      });
    } catch (error) {
      // A peer that went away while a file was sent, or a failure of ours in the middle of one.
      if (response.headersSent) {
        response.destroy();
        return;
      }
      const refusal = error instanceof Refusal ? error : new Refusal('failed');
      if (refusal !== error) this.#fail(error);
      this.#note(refusal, request);
      // What is left of a refused body is not read.
      if (!request.complete) response.setHeader('Connection', 'close');
      const body = `${JSON.stringify(refusal)}\n`;
      response.writeHead(refusal.status, {
        'Content-Type': 'application/json',
        'Content-Length': Buffer.byteLength(body),
        'Cache-Control': 'no-store',
      });
      response.end(request.method === 'HEAD' ? undefined : body);
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // A reset while we answer is the peer's affair.
    socket.on('error', () => socket.destroy());
    try {
      const identity = admit(request, this.#door);
      this.#sockets.handleUpgrade(request, socket, head, (client) => {
        const channel = new SocketChannel(client, socket, {
          limits: this.#options.limits,
          metrics: this.metrics,
          nowMs: () => this.#options.clock.nowMs(),
        });
        this.#begin(channel, { ...identity, remote: request.socket.remoteAddress ?? 'this host' });
      });
    } catch (error) {
      if (!(error instanceof Refusal)) {
        socket.destroy();
        this.#fail(error);
        return;
      }
      this.#note(error, request);
      refuseUpgrade(socket, error);
    }
  }

  /** What came before a request could be read: Node tells it apart by the codes of its parser. */
  #refuseBroken(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const isLarge = error.code === 'HPE_HEADER_OVERFLOW';
    const isSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
    const code = isLarge ? 'handshake-too-large' : isSlow ? 'too-slow' : 'request-invalid';
    this.metrics.add('vitrine_bridge_refusals_total', { code });
    refuseUpgrade(socket, new Refusal(code));
  }

  #begin(channel: SocketChannel, visitor: Visitor): void {
    const { log, serve } = this.#options;
    this.#channels.set(channel, visitor);
    this.metrics.add('vitrine_bridge_connections_total');
    log('info', 'connected', { visitor: visitor.id, remote: visitor.remote });
    channel.onEnd = () => {
      this.#channels.delete(channel);
      this.#idleSinceMs = this.#options.clock.nowMs();
      const why = channel.endedFor ?? 'peer';
      this.metrics.add('vitrine_bridge_disconnections_total', { why });
      log(channel.endedFor === undefined ? 'info' : 'warn', 'disconnected', { visitor: visitor.id, why });
    };
    serve(channel, visitor);
  }

  #note(refusal: Refusal, { url, socket, headers }: IncomingMessage): void {
    this.metrics.add('vitrine_bridge_refusals_total', { code: refusal.code });
    // What is not there is asked for by every browser.
    if (refusal.code === 'path-unknown') return;
    this.#logRefusal('warn', 'refused', {
      code: refusal.code,
      path: (url ?? '').split('?')[0]!.slice(0, 100),
      remote: socket.remoteAddress ?? 'this host',
      host: headers.host?.slice(0, 100) ?? null,
      origin: headers.origin?.slice(0, 100) ?? null,
    });
  }

  #fail(error: unknown): void {
    this.#options.log('error', 'failed', { message: error instanceof Error ? error.message : String(error) });
  }

  /** Cookies know no ports: two bridges on one host need two names. */
  #cookie(): { readonly name: string; readonly attributes: string } {
    const isSecure = this.#options.tls !== undefined || this.#options.behindProxy === true;
    return {
      name: `${isSecure ? '__Host-' : ''}vitrine-${this.port}`,
      attributes: `Path=/; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`,
    };
  }

  #addressOf(key: string): string {
    const [first] = this.#options.allowOrigins ?? [];
    const origin = this.#options.behindProxy === true && first !== undefined ? first : this.origin;
    return `${origin}/#k=${key}`;
  }

  #metricsText(): string {
    const { clock, spares } = this.#options;
    const waiting = [...this.#channels.keys()].map((channel) => channel.bufferedBytes);
    return this.metrics.text({
      vitrine_bridge_connections: this.#channels.size,
      vitrine_bridge_sessions: this.#keyring.sessionCount,
      vitrine_bridge_outbound_bytes: waiting.reduce((sum, bytes) => sum + bytes, 0),
      vitrine_bridge_resident_bytes: process.memoryUsage.rss(),
      vitrine_spare_processes: spares?.count ?? 0,
      vitrine_spare_resident_bytes: spares?.usedBytes ?? 0,
      vitrine_bridge_up_seconds: Math.floor((clock.nowMs() - this.#startMs) / 1_000),
    });
  }
}

/** An answer on a socket that HTTP has let go of. */
function refuseUpgrade(socket: Duplex, refusal: Refusal): void {
  const body = `${JSON.stringify(refusal)}\n`;
  const headers = {
    ...PAGE_HEADERS,
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    'Cache-Control': 'no-store',
    Connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n${lines.join('')}\r\n${body}`,
    () => socket.destroy(),
  );
}

function listenOn(
  server: Server,
  where: { readonly host: string; readonly port: number } | { readonly path: string },
) {
  return new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(where, () => {
      server.removeListener('error', fail);
      done();
    });
  });
}

function everyByTimer(intervalMs: number, run: () => void): () => void {
  const timer = setInterval(run, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}

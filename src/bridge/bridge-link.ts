// A link: a connection that is made again when it was lost, and says how it stands.
//
//   open ──lost──▶ waiting ──back-off──▶ connecting ──▶ open
//                     ▲                      │ failed
//                     └──────────────────────┘        too often, refused, closed ──▶ closed
//
// Requests under way when a connection is lost are rejected; jobs are looked for at the next one (`bridge-client.ts`).

import { isVitrineError, VitrineError } from '../base/error.ts';
import {
  BACK_OFF,
  type BackOffOptions,
  backOffMs,
  randomFraction,
  type Wait,
  waitByTimer,
} from './back-off.ts';
import { BridgeConnection, type HelloResponse } from './bridge-connection.ts';
import type { BridgeChannel } from './channel.ts';

/** How a link stands; for a page to show. */
export type LinkState =
  | { readonly kind: 'open' }
  /** `attempt` counts the failures so far; 0 when the connection was lost just now. */
  | { readonly kind: 'waiting'; readonly attempt: number; readonly retryInMs: number }
  | { readonly kind: 'connecting'; readonly attempt: number }
  | { readonly kind: 'closed'; readonly reason: VitrineError };

/** Opens a channel, authenticated: each time anew, since tickets are good for one use. */
export type OpenChannel = () => Promise<BridgeChannel>;

export interface LinkOptions {
  /** Who calls, for the host's log. */
  readonly software?: string;
  readonly backOff?: Partial<BackOffOptions>;
  readonly wait?: Wait;
  /** From 0 to 1. */
  readonly random?: () => number;
}

/** Errors that trying again does not mend. */
const FINAL_CODES = ['permission-denied', 'unsupported', 'argument-invalid', 'not-found'] as const;

export class BridgeLink {
  readonly #open: OpenChannel;
  readonly #options: LinkOptions;
  readonly #backOff: BackOffOptions;
  readonly #listeners = new Set<(state: LinkState) => void>();
  readonly #abort = new AbortController();
  #state: LinkState = { kind: 'connecting', attempt: 0 };
  #connection: BridgeConnection | null = null;
  #hello: HelloResponse | null = null;

  private constructor(open: OpenChannel, options: LinkOptions) {
    this.#open = open;
    this.#options = options;
    this.#backOff = { ...BACK_OFF, ...options.backOff };
  }

  /** Connects once; later losses are mended by itself. Throws what opening throws. */
  static async connect(open: OpenChannel, options: LinkOptions = {}): Promise<BridgeLink> {
    const link = new BridgeLink(open, options);
    try {
      link.#use(await link.#connect());
    } catch (error) {
      link.#end(asReason(error));
      throw error;
    }
    return link;
  }

  get state(): LinkState {
    return this.#state;
  }

  /** What the host said of itself at the newest connection. */
  get hello(): HelloResponse {
    // Safe: a link is handed out only after its first hello.
    return this.#hello!;
  }

  /** Hears of every change of state. Returns how to stop. */
  onState(listener: (state: LinkState) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The connection there is. Throws `connection-lost` while there is none. */
  get connection(): BridgeConnection {
    if (this.#connection?.isOpen === true) return this.#connection;
    if (this.#state.kind === 'closed') throw this.#state.reason;
    throw new VitrineError('connection-lost', { state: this.#state.kind });
  }

  /** The connection there is, or the next one. Throws why there will be none. */
  async nextConnection(): Promise<BridgeConnection> {
    for (;;) {
      if (this.#state.kind === 'closed') throw this.#state.reason;
      if (this.#connection?.isOpen === true) return this.#connection;
      await this.#change();
    }
  }

  /** Ends it. May be called again. */
  close(): void {
    this.#abort.abort();
    this.#connection?.close();
    this.#end(new VitrineError('connection-lost', { by: 'client' }));
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.onState(() => {
        stop();
        resolve();
      });
    });
  }

  async #connect(): Promise<BridgeConnection> {
    const connection = new BridgeConnection(await this.#open());
    try {
      this.#hello = await connection.call('hello', { software: this.#options.software ?? 'vitrine' });
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  #use(connection: BridgeConnection): void {
    if (this.#abort.signal.aborted) {
      connection.close();
      return;
    }
    this.#connection = connection;
    this.#set({ kind: 'open' });
    void connection.closed.then(() => this.#reconnect());
  }

  /** Never throws: it ends with a connection, or in the state `closed`. */
  async #reconnect(): Promise<void> {
    this.#connection = null;
    const { maxAttempts } = this.#backOff;
    let last: unknown = new VitrineError('connection-lost');
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (this.#abort.signal.aborted) return;
      const random = (this.#options.random ?? randomFraction)();
      const retryInMs = backOffMs(attempt + 1, random, this.#backOff);
      this.#set({ kind: 'waiting', attempt, retryInMs });
      try {
        await (this.#options.wait ?? waitByTimer)(retryInMs, this.#abort.signal);
        this.#set({ kind: 'connecting', attempt });
        this.#use(await this.#connect());
        return;
      } catch (error) {
        last = error;
        if (FINAL_CODES.some((code) => isVitrineError(error, code))) break;
      }
    }
    this.#end(asReason(last));
  }

  #end(reason: VitrineError): void {
    if (this.#state.kind !== 'closed') this.#set({ kind: 'closed', reason });
  }

  #set(state: LinkState): void {
    if (this.#state.kind === 'closed') return;
    this.#state = state;
    for (const listener of [...this.#listeners]) listener(state);
  }
}

function asReason(error: unknown): VitrineError {
  return isVitrineError(error) ? error : new VitrineError('connection-lost', {}, { cause: error });
}

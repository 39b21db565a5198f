// Serves the pages of a machine that runs before all of its RAM is there: those that QEMU asks for first, then those that were
// asked for in an earlier run of the same snapshot, in that order, then all the others.
//
//   request ─▶ read ─▶ part with that page        ahead of everything
//   nothing asked ─▶ the next pages ─▶ part       as fast as QEMU takes them, once its devices are loaded
//   all sent ─▶ closing ─▶ SHUT from QEMU ─▶ done
//
// The order in which pages were first asked for is the report: it is what makes the next time quick.

import type { Socket } from 'node:net';
import { VitrineError } from '../../base/error.ts';
import {
  LOADED_PING,
  type PostcopyContent,
  pagesPart,
  postcopyClosing,
  postcopyOpening,
  SourceMessages,
  type StreamPage,
} from './stream/index.ts';

const PAGE_BYTES = 4096;
/**
 * Pages sent unasked at a time: a request waits behind at most so many. A machine that asked is about to ask again, so that few go
 * between two requests, and more again when none comes. With as many as ever a machine whose touches nobody knew took ten times as long
 * to its first answer.
 */
const [FEWEST_AHEAD, MOST_AHEAD] = [1, 64];
/** What was done for a page. */
const [NEW, ASKED, SENT] = [0, 1, 2];

/** A page by its block, in the order of the blocks, and its place there. */
export interface PageRef {
  readonly block: number;
  readonly offset: number;
}

export interface PageSource extends PostcopyContent {
  /** Contents of pages, each 4,096 bytes. What it throws ends the machine. */
  read(pages: readonly PageRef[]): Promise<readonly Uint8Array[]>;
}

export interface PageServerOptions {
  /** Pages to send before they are asked for, the most urgent first; those that do not exist are passed over. */
  readonly ahead?: readonly PageRef[];
  /** Whether nothing is sent but what is asked for and what `ahead` names: the machine is never whole then. */
  readonly onlyNamed?: boolean;
}

export interface PageReport {
  /** Pages that were asked for, in that order. */
  readonly asked: readonly PageRef[];
  /** Pages sent, asked for or not. */
  readonly sentCount: number;
}

/** Opens on a socket to a QEMU that waits for a migration. */
export function servePages(socket: Socket, source: PageSource, options: PageServerOptions = {}): PageServer {
  return new PageServer(socket, source, options);
}

export class PageServer {
  /** Resolves when the machine's devices are loaded: it can run then. Rejects as `done` does. */
  readonly loaded: Promise<void>;
  /**
   * Resolves when QEMU has all pages. Rejects with what reading a page threw, `guest-lost` when the connection ends before,
   * `guest-failed` when QEMU says that it failed, `format-*` for what it cannot have said. The machine is lost then.
   */
  readonly done: Promise<PageReport>;
  readonly #socket: Socket;
  readonly #source: PageSource;
  readonly #messages = new SourceMessages();
  readonly #indexOf = new Map<string, number>();
  /** By block and page: what was done for it. */
  readonly #sent: Uint8Array[];
  readonly #waiting: PageRef[] = [];
  readonly #asked: PageRef[] = [];
  readonly #ahead: readonly PageRef[];
  readonly #onlyNamed: boolean;
  #aheadAt = 0;
  #aheadPages = MOST_AHEAD;
  /** Where the pages that nobody named go on. */
  #rest: PageRef = { block: 0, offset: 0 };
  #sentCount = 0;
  #isLoaded = false;
  #isShut = false;
  #failure: Error | undefined;
  #wake: () => void = () => {};
  #settleLoaded!: { resolve: () => void; reject: (error: unknown) => void };

  constructor(socket: Socket, source: PageSource, options: PageServerOptions) {
    this.#socket = socket;
    this.#source = source;
    this.#ahead = options.ahead ?? [];
    this.#onlyNamed = options.onlyNamed ?? false;
    this.#sent = source.blocks.map(({ usedBytes }) => new Uint8Array(usedBytes / PAGE_BYTES));
    for (const [index, { name }] of source.blocks.entries()) this.#indexOf.set(name, index);
    this.loaded = new Promise((resolve, reject) => {
      this.#settleLoaded = { resolve, reject };
    });
    this.loaded.catch(() => {});
    socket.on('data', (piece: Buffer) => this.#hear(piece));
    socket.on('error', (cause) =>
      this.#fail(new VitrineError('guest-lost', { reason: cause.message }, { cause })),
    );
    socket.on('close', () =>
      this.#fail(new VitrineError('guest-lost', { reason: 'the connection was closed' })),
    );
    // It may have ended before we listened.
    if (socket.destroyed) this.#fail(new VitrineError('guest-lost', { reason: 'the connection was closed' }));
    this.done = this.#serve();
    this.done.catch(() => {});
  }

  /** Pages that were asked for so far, in that order. */
  get asked(): readonly PageRef[] {
    return this.#asked;
  }

  get sentCount(): number {
    return this.#sentCount;
  }

  /** Ends it: `done` rejects, and the machine waits for pages that do not come. For machines that are ended next. */
  stop(cause: VitrineError): void {
    this.#fail(cause);
  }

  async #serve(): Promise<PageReport> {
    try {
      await this.#write(postcopyOpening(this.#source));
      for (;;) {
        const batch = this.#next();
        if (batch === 'all') break;
        if (batch.length > 0) await this.#send(batch);
        else await this.#event(() => this.#waiting.length > 0 || this.#hasMore());
      }
      await this.#write(postcopyClosing());
      await this.#event(() => this.#isShut);
      this.#socket.end();
      return { asked: this.#asked, sentCount: this.#sentCount };
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
      this.#socket.destroy();
      throw this.#failure;
    }
  }

  /** What is sent next: what was asked for, else some ahead of time. */
  #next(): readonly PageRef[] | 'all' {
    if (this.#failure !== undefined) throw this.#failure;
    const asked = this.#waiting.splice(0).filter((page) => this.#isDue(page));
    if (asked.length > 0) {
      this.#aheadPages = FEWEST_AHEAD;
      return asked;
    }
    if (!this.#isLoaded) return [];
    const most = this.#aheadPages;
    this.#aheadPages = Math.min(2 * most, MOST_AHEAD);
    const batch: PageRef[] = [];
    while (batch.length < most && this.#aheadAt < this.#ahead.length) {
      const page = this.#ahead[this.#aheadAt++]!;
      if (this.#isDue(page)) batch.push(page);
    }
    while (!this.#onlyNamed && batch.length < most && this.#rest.block < this.#sent.length) {
      const page = this.#rest;
      if (this.#isDue(page)) batch.push(page);
      const isLast = page.offset + PAGE_BYTES >= this.#source.blocks[page.block]!.usedBytes;
      this.#rest = isLast
        ? { block: page.block + 1, offset: 0 }
        : { block: page.block, offset: page.offset + PAGE_BYTES };
    }
    return batch.length === 0 && !this.#onlyNamed ? 'all' : batch;
  }

  /** Whether there is something to send that was not asked for. */
  #hasMore(): boolean {
    return this.#isLoaded && (!this.#onlyNamed || this.#aheadAt < this.#ahead.length);
  }

  /** Whether a page exists and was not sent; it counts as sent from now on. */
  #isDue({ block, offset }: PageRef): boolean {
    const sent = this.#sent[block];
    const page = offset / PAGE_BYTES;
    if (sent === undefined || (sent[page] ?? SENT) === SENT) return false;
    sent[page] = SENT;
    return true;
  }

  async #send(batch: readonly PageRef[]): Promise<void> {
    const contents = await this.#source.read(batch);
    const pages = batch.map(({ block, offset }, i): StreamPage => {
      const bytes = contents[i]!;
      return { block, offset, bytes: isZero(bytes) ? 0 : bytes };
    });
    this.#sentCount += pages.length;
    await this.#write(pagesPart(this.#source.blocks, pages));
  }

  /** Waits until the kernel has taken it, so that what is asked for next does not wait behind much. */
  async #write(bytes: Uint8Array): Promise<void> {
    let isTaken = false;
    this.#socket.write(bytes, () => {
      isTaken = true;
      this.#wake();
    });
    await this.#event(() => isTaken);
  }

  #hear(piece: Uint8Array): void {
    try {
      for (const message of this.#messages.push(piece)) {
        if (message.kind === 'request') this.#ask(message);
        else if (message.kind === 'shut') this.#shut(message.error);
        else if (message.value === LOADED_PING) {
          this.#isLoaded = true;
          this.#settleLoaded.resolve();
        }
      }
    } catch (error) {
      this.#fail(error as Error);
    }
    this.#wake();
  }

  #ask({ block, offset, lengthBytes }: { block: string; offset: number; lengthBytes: number }): void {
    const index = this.#indexOf.get(block);
    const usedBytes = index === undefined ? 0 : this.#source.blocks[index]!.usedBytes;
    if (index === undefined || offset % PAGE_BYTES !== 0 || offset + lengthBytes > usedBytes) {
      throw new VitrineError('format-range', { record: 'return path', block, offset, lengthBytes });
    }
    for (let at = offset; at < offset + lengthBytes; at += PAGE_BYTES) {
      // What is on its way already is asked for again now and then.
      if (this.#sent[index]![at / PAGE_BYTES] !== NEW) continue;
      this.#sent[index]![at / PAGE_BYTES] = ASKED;
      const page = { block: index, offset: at };
      this.#waiting.push(page);
      this.#asked.push(page);
    }
  }

  #shut(error: number): void {
    if (error !== 0) throw new VitrineError('guest-failed', { command: 'migrate-incoming', error });
    this.#isShut = true;
  }

  /** Waits until something is so; throws what ended it before. */
  async #event(isIt: () => boolean): Promise<void> {
    while (!isIt()) {
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #fail(error: Error): void {
    // The connection ends by itself once QEMU has all.
    if (this.#failure !== undefined || this.#isShut) return;
    this.#failure = error;
    this.#settleLoaded.reject(error);
    this.#wake();
  }
}

function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

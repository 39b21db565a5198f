// A machine's state while it runs: a migration to ourselves. QEMU sends all memory, then what was written meanwhile, round by
// round, until the rest is a few milliseconds' worth; then it stops the machine, sends that and the devices, and we let it go on.
//
//   migrate ──▶ pages, pages again, … │ STOP ── last pages, devices ──▶ completed │ cont
//
//   background-snapshot:  STOP ── devices ── RESUME │ pages, those about to be written first ──▶ completed
//
// What belongs to the machine and is not in the stream, its disks, is taken at the same instant: `atInstant` runs while it rests.
// For a background snapshot we stop it before that, and let it go on when its first page comes: from then on QEMU watches what
// it writes. For the other way QEMU itself waits for us at the end (`pause-before-switchover`).
//
// A background snapshot is never cancelled: QEMU 7.2 then leaves the memory that it watches as it is, and the machine hangs at its next
// write there. One that nobody wants any more is read to its end and told to nobody; where we are killed, our heir does that.
//
// RAM has to be in the stream, so `x-ignore-shared` is off for as long. A machine that writes faster than it is read never comes
// to a rest that short; it is given a longer one step by step, and what it took is reported. The longest is as long as reading all of its
// memory takes, which is what a save of it at rest would have cost: so each ends.

import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import { nextTask } from '../../base/pacing.ts';
import { throwIfAborted } from '../../base/work.ts';
import { comesToItsEnd, goOnAfter, untilClearedAway } from './end-migration.ts';
import type { Qmp } from './qmp.ts';
import { IGNORE_SHARED } from './state-transfer.ts';
import { type PageListener, type ParsedStream, type ParseOptions, parseStream } from './stream/index.ts';
import { StreamHeir } from './stream-heir.ts';

/** The rest that is asked for at first, and the longest that QEMU may be asked for. */
const FIRST_REST_MS = 3;
const LONGEST_REST_MS = 2_000_000;
/** A rest so many times shorter than what QEMU expects is not worth waiting for. */
const FAR_SHORTER = 4;
/** Rounds over what was written, before the rest may be longer. */
const PATIENT_ROUNDS = 6;
const POLL_MS = 20;
/** As long as QEMU may take to say that it broke a stream off. One that nobody reads any more sends nothing for ever. */
const BROKEN_OFF_MS = 1000;
/** As fast as it can: without a bound of its own QEMU spares a network that is not there. */
const BANDWIDTH = 2 ** 40;

/**
 * How memory is sent. `precopy`: what was written meanwhile again, so that the instant is the end. `background-snapshot`: what
 * is about to be written first, so that the instant is the beginning; QEMU needs page faults of its own (userfaultfd) for it.
 */
export type LiveMethod = 'precopy' | 'background-snapshot';

export interface LiveStream {
  readonly stream: ParsedStream;
  /** From the machine's last instruction before to its first after. */
  readonly pauseMs: number;
}

/** As a reader of streams has them; with a promise, a listener asks for no more before that settles, which never rejects. */
export interface LiveListeners extends Pick<ParseOptions, 'onBlocks'> {
  readonly onPage: (...page: Parameters<PageListener>) => undefined | Promise<void>;
}

export interface LiveOptions {
  readonly signal?: AbortSignal | undefined;
  /** Runs at the instant, while the machine rests. Where it throws, nothing was streamed and the machine goes on. */
  readonly atInstant?: (() => Promise<void>) | undefined;
}

/**
 * Streams a running machine's state; listeners hear of every page, the last time as it was at the instant.
 *
 * The machine runs on, whatever comes of it. Throws `aborted`, `guest-failed` with what QEMU says, `guest-lost`, and `format-*`
 * for a stream that is none.
 */
export async function streamLive(
  qmp: Qmp,
  directory: string,
  method: LiveMethod,
  listeners: LiveListeners,
  { signal, atInstant }: LiveOptions = {},
): Promise<LiveStream> {
  throwIfAborted(signal);
  const path = join(directory, 'live');
  await rm(path, { force: true });
  const listener = await (method === 'precopy' ? listenAt(path) : StreamHeir.listen(path));
  const rest = new Rest(qmp);
  const source = new Source(listener);
  try {
    await setCapabilities(qmp, { method, isLive: true, waits: atInstant !== undefined });
    const first = new FirstPage();
    let room: undefined | Promise<void>;
    const reading = parseStream(
      source.chunks(() => room),
      {
        ...listeners,
        onPage: (...page) => {
          first.hasCome();
          if (!signal?.aborted) room = listeners.onPage(...page) ?? room;
        },
      },
    );
    try {
      await qmp.execute('migrate-set-parameters', {
        'max-bandwidth': BANDWIDTH,
        'downtime-limit': FIRST_REST_MS,
      });
      if (atInstant !== undefined && method === 'background-snapshot') {
        await qmp.execute('stop');
        await atInstant();
        // Where the machine goes on by itself after its devices were saved, this changes nothing.
        first.followedBy(() => qmp.execute('cont'));
      }
      await qmp.execute('migrate', { uri: `unix:${path}` });
      await untilCompleted(qmp, { rest, reading, signal, atInstant, method });
      await first.done;
      if (method === 'precopy') await goOnAfter(qmp);
      const stream = await reading;
      throwIfAborted(signal);
      return { stream, pauseMs: rest.tookMs };
    } catch (error) {
      if (method === 'precopy') source.end();
      else source.drain();
      await giveUp(qmp, method);
      source.end();
      await reading.catch(() => {});
      throw error;
    }
  } finally {
    rest.close();
    source.end();
    listener.close();
    await rm(path, { force: true });
    if (qmp.isOpen) {
      await untilClearedAway(qmp);
      await setCapabilities(qmp, { method, isLive: false, waits: atInstant !== undefined });
    }
  }
}

/** The machine's rest, as QEMU tells of it. */
class Rest {
  readonly begins: Promise<void>;
  readonly close: () => void;
  #fromMs: number | undefined;
  #toMs: number | undefined;

  constructor(qmp: Qmp) {
    let begun = (): void => {};
    this.begins = new Promise((resolve) => {
      begun = resolve;
    });
    this.close = qmp.onEvent(({ event, atMs }) => {
      if (event === 'RESUME') this.#toMs = atMs;
      if (event !== 'STOP') return;
      this.#fromMs = atMs;
      begun();
    });
  }

  get hasBegun(): boolean {
    return this.#fromMs !== undefined;
  }

  /** Its length, once it is over. */
  get tookMs(): number {
    return Math.max(0, (this.#toMs ?? 0) - (this.#fromMs ?? 0));
  }
}

/** Tells when the first page has come. */
class FirstPage {
  /** Settles when what was to follow it has been done. */
  done: Promise<unknown> = Promise.resolve();
  hasCome = (): void => {};

  /** `work` follows the first page. */
  followedBy(work: () => Promise<unknown>): void {
    this.done = new Promise<void>((resolve) => {
      this.hasCome = resolve;
    }).then(work);
    // Whoever waits for it hears of it.
    this.done.catch(() => {});
  }
}

function setCapabilities(
  qmp: Qmp,
  { method, isLive, waits }: { method: LiveMethod; isLive: boolean; waits: boolean },
): Promise<unknown> {
  const capabilities = [{ capability: IGNORE_SHARED, state: !isLive }];
  if (method === 'background-snapshot') capabilities.push({ capability: method, state: isLive });
  else if (waits) capabilities.push({ capability: 'pause-before-switchover', state: isLive });
  return qmp.execute('migrate-set-capabilities', { capabilities });
}

/** Ends a migration that may be under way, or waits for its end, and lets a machine go on that it stopped. */
async function giveUp(qmp: Qmp, method: LiveMethod): Promise<void> {
  if (!qmp.isOpen) return;
  if (method === 'precopy') await qmp.execute('migrate_cancel');
  for (;;) {
    const { status } = await qmp.execute('query-migrate');
    if (
      status !== 'cancelling' &&
      status !== 'active' &&
      status !== 'setup' &&
      status !== 'device' &&
      status !== 'pre-switchover'
    )
      break;
    await wait(POLL_MS);
  }
  const { running, status } = await qmp.execute('query-status');
  if (!running && (status === 'postmigrate' || status === 'finish-migrate' || status === 'paused'))
    await goOnAfter(qmp);
}

interface Streaming extends LiveOptions {
  readonly rest: Rest;
  readonly reading: Promise<unknown>;
  readonly method: LiveMethod;
}

/**
 * Resolves when QEMU has sent everything; the machine rests then. Where the reader fails first it rejects with what QEMU says of
 * that, for a stream cut short is most often one that QEMU broke off; with the reader's own error where QEMU has none.
 */
async function untilCompleted(
  qmp: Qmp,
  { rest, reading, signal, atInstant, method }: Streaming,
): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  reading.catch((error: unknown) => {
    failure = { error };
  });
  let lengthMs = FIRST_REST_MS;
  let patience = PATIENT_ROUNDS;
  for (;;) {
    const failed: typeof failure = failure;
    if (method === 'precopy') throwIfAborted(signal);
    if (failed !== undefined && isCutShort(failed.error)) await comesToItsEnd(qmp, BROKEN_OFF_MS);
    const answer = await qmp.execute('query-migrate');
    if (failed === undefined && answer.status === 'completed') return;
    if (answer.status === 'failed' || answer.status === 'cancelled') {
      throw new VitrineError('guest-failed', {
        command: 'migrate',
        said: answer['error-desc'] ?? answer.status,
      });
    }
    if (failed !== undefined) throw failed.error;
    if (answer.status === 'pre-switchover') {
      await atInstant?.();
      await qmp.execute('migrate-continue', { state: 'pre-switchover' });
      continue;
    }
    if (method === 'background-snapshot') {
      await wait(POLL_MS);
      continue;
    }
    if (rest.hasBegun) {
      await nextTask();
      continue;
    }
    if ((answer.ram?.['dirty-sync-count'] ?? 0) > patience && lengthMs < LONGEST_REST_MS) {
      lengthMs = longerRest(lengthMs, answer['expected-downtime'] ?? 0);
      patience += 2;
      await qmp.execute('migrate-set-parameters', { 'downtime-limit': lengthMs });
    }
    await Promise.race([wait(POLL_MS), rest.begins]);
  }
}

/** Twice as long, and more where what is expected is far longer. */
function longerRest(lengthMs: number, expectedMs: number): number {
  return Math.min(LONGEST_REST_MS, Math.max(2 * lengthMs, Math.ceil(expectedMs / FAR_SHORTER)));
}

function isCutShort(error: unknown): boolean {
  return error instanceof VitrineError && error.code === 'format-truncated';
}

/** Who listens for QEMU: ourselves, or the heir. */
type Listener = Pick<StreamHeir, 'connection' | 'close'>;

/** Throws `guest-failed` where it cannot. */
async function listenAt(path: string): Promise<Listener> {
  const server = createServer();
  const connection = once(server, 'connection').then(([socket]) => socket as Socket);
  connection.catch(() => {});
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(new VitrineError('guest-failed', { socket: path }, { cause })));
    server.listen(path, resolve);
  });
  return { connection, close: () => void server.close() };
}

/** What comes over the first connection. */
class Source {
  readonly #listener: Listener;
  readonly #end = new AbortController();
  #socket: Socket | undefined;
  #isDrained = false;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  /** Each time when there is room for it. The connection stays when nobody asks for more. */
  async *chunks(room: () => undefined | Promise<void>): AsyncGenerator<Uint8Array> {
    const { signal } = this.#end;
    signal.throwIfAborted();
    const ended = once(signal, 'abort').then(() => signal.throwIfAborted());
    const socket = (await Promise.race([this.#listener.connection, ended])) as Socket;
    this.#socket = socket;
    const end = (): void => void socket.destroy();
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    if (this.#isDrained) this.drain();
    for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
      yield chunk;
      await room();
    }
  }

  /** Takes whatever still comes, for nobody. */
  drain(): void {
    this.#isDrained = true;
    // That it ended is told by the monitor.
    this.#socket?.on('error', () => {}).resume();
  }

  end(): void {
    this.#end.abort();
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// A machine's state while it runs: a migration to ourselves. QEMU sends all memory, then what was written meanwhile, round by
// round, until the rest is a few milliseconds' worth; then it stops the machine, sends that and the devices, and we let it go on.
//
//   migrate ──▶ pages, pages again, … │ STOP ── last pages, devices ──▶ completed │ cont
//
// RAM has to be in the stream, so `x-ignore-shared` is off for as long. A machine that writes faster than it is read never comes
// to a rest that short; it is given a longer one step by step, and what it took is reported.

import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import { nextTask } from '../../base/pacing.ts';
import { throwIfAborted } from '../../base/work.ts';
import type { Qmp } from './qmp.ts';
import { IGNORE_SHARED } from './state-transfer.ts';
import { type ParsedStream, type ParseOptions, parseStream } from './stream/index.ts';

/** The rest that is asked for at first, and where it ends: twice as long each time. */
const FIRST_REST_MS = 3;
const LONGEST_REST_MS = 4096;
/** Rounds over what was written, before the rest may be longer. */
const PATIENT_ROUNDS = 6;
const POLL_MS = 20;
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
  listeners: Pick<ParseOptions, 'onBlocks' | 'onPage'>,
  signal?: AbortSignal,
): Promise<LiveStream> {
  throwIfAborted(signal);
  const path = join(directory, 'live');
  await rm(path, { force: true });
  const server = createServer();
  const rest = new Rest(qmp);
  try {
    await listen(server, path);
    await setCapabilities(qmp, method, true);
    const ours = new AbortController();
    const reading = parseStream(incoming(server, ours.signal), listeners);
    try {
      await qmp.execute('migrate-set-parameters', {
        'max-bandwidth': BANDWIDTH,
        'downtime-limit': FIRST_REST_MS,
      });
      await qmp.execute('migrate', { uri: `unix:${path}` });
      await untilCompleted(qmp, rest, reading, signal);
      if (method === 'precopy') await qmp.execute('cont');
      return { stream: await reading, pauseMs: rest.tookMs };
    } catch (error) {
      ours.abort();
      await giveUp(qmp);
      await reading.catch(() => {});
      throw error;
    }
  } finally {
    rest.close();
    server.close();
    await rm(path, { force: true });
    if (qmp.isOpen) await setCapabilities(qmp, method, false);
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

function setCapabilities(qmp: Qmp, method: LiveMethod, isLive: boolean): Promise<unknown> {
  const capabilities = [{ capability: IGNORE_SHARED, state: !isLive }];
  if (method === 'background-snapshot') capabilities.push({ capability: method, state: isLive });
  return qmp.execute('migrate-set-capabilities', { capabilities });
}

/** Ends a migration that may be under way, and lets a machine go on that it stopped. */
async function giveUp(qmp: Qmp): Promise<void> {
  if (!qmp.isOpen) return;
  await qmp.execute('migrate_cancel');
  for (;;) {
    const { status } = await qmp.execute('query-migrate');
    if (status !== 'cancelling' && status !== 'active' && status !== 'setup' && status !== 'device') break;
    await wait(POLL_MS);
  }
  const { running, status } = await qmp.execute('query-status');
  if (!running && (status === 'postmigrate' || status === 'finish-migrate' || status === 'paused'))
    await qmp.execute('cont');
}

/** Resolves when QEMU has sent everything; the machine rests then. Rejects when the reader fails first. */
async function untilCompleted(
  qmp: Qmp,
  rest: Rest,
  reading: Promise<unknown>,
  signal: AbortSignal | undefined,
): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  reading.catch((error: unknown) => {
    failure = { error };
  });
  let lengthMs = FIRST_REST_MS;
  let patience = PATIENT_ROUNDS;
  for (;;) {
    if (failure !== undefined) throw failure.error;
    throwIfAborted(signal);
    const answer = await qmp.execute('query-migrate');
    if (answer.status === 'completed') return;
    if (answer.status === 'failed' || answer.status === 'cancelled') {
      throw new VitrineError('guest-failed', {
        command: 'migrate',
        said: answer['error-desc'] ?? answer.status,
      });
    }
    if (rest.hasBegun) {
      await nextTask();
      continue;
    }
    if ((answer.ram?.['dirty-sync-count'] ?? 0) > patience && lengthMs < LONGEST_REST_MS) {
      lengthMs *= 2;
      patience += 2;
      await qmp.execute('migrate-set-parameters', { 'downtime-limit': lengthMs });
    }
    await Promise.race([wait(POLL_MS), rest.begins]);
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(new VitrineError('guest-failed', { socket: path }, { cause })));
    server.listen(path, resolve);
  });
}

/** What comes over the first connection. */
async function* incoming(server: Server, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const [socket] = (await once(server, 'connection', { signal })) as [Socket];
  const end = (): void => void socket.destroy();
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  yield* socket as AsyncIterable<Uint8Array>;
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

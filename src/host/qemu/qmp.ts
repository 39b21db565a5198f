// A QMP client: one connection to one QEMU, over which commands go by id and events come in between.
//
//   connecting ──greeting, qmp_capabilities──▶ open ──close(), socket gone, garbage, deadline──▶ closed
//
// Whatever happens, every pending call and every wait settles. A call that is not answered in time closes the connection:
// its answer might come later and be taken for nothing, and a machine that does not answer its monitor is not one whose
// state is known. The line limit keeps a broken peer from filling our memory.
//
// QEMU reads its monitor byte by byte, at some microseconds each (7.2 and 10.0): what is sent often is kept short.

import { connect as connectSocket, type Socket } from 'node:net';
import { isVitrineError, VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import { LineReader } from './line-reader.ts';
import type { AnswerOf, ArgumentsOf, JobCommand, QmpCommands, Version } from './qmp-commands.ts';

/** Longest line taken from QEMU. Its longest answer by far is the list of all nodes or types, some hundred kilobytes. */
export const MAX_LINE_BYTES = 4 * MIB;
/** How long a call may take when its caller does not say: most take a millisecond, on a busy host seconds. */
export const CALL_TIMEOUT_MS = 30_000;

/** Calls `expired` after so many milliseconds, unless the answer is called before. */
export type Deadline = (ms: number, expired: () => void) => () => void;

const systemDeadline: Deadline = (ms, expired) => {
  const timer = setTimeout(expired, ms);
  return () => clearTimeout(timer);
};

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** When it happened, by the host's clock as QEMU read it: milliseconds since 1970, to the microsecond. */
  readonly atMs: number;
}

export interface QmpOptions {
  readonly timeoutMs?: number;
  /** How long QEMU may take to greet, where that is less: its monitor serves one client at a time. */
  readonly greetingTimeoutMs?: number;
  readonly deadline?: Deadline;
  /** Hears of each command before it is sent. */
  readonly onCall?: (command: keyof QmpCommands) => void;
  /** Why the connection was lost, where the owner of the process knows better: asked once it is. */
  readonly explain?: () => Promise<Readonly<Record<string, string | number>>>;
}

export interface CallOptions {
  readonly timeoutMs?: number;
}

interface Pending {
  readonly command: string;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: VitrineError) => void;
  readonly stopClock: () => void;
}

interface EventWait {
  readonly isIt: (event: QmpEvent) => boolean;
  readonly resolve: (event: QmpEvent) => void;
  readonly reject: (error: VitrineError) => void;
}

/**
 * Connects to a QEMU that listens at `path`.
 *
 * Throws `guest-lost` when nothing listens there or what does is no QEMU, `guest-timeout` when it keeps silent.
 */
export async function connectQmp(path: string, options: QmpOptions = {}): Promise<Qmp> {
  const socket = connectSocket({ path });
  const qmp = new Qmp(socket, options);
  try {
    await qmp.greet();
    return qmp;
  } catch (error) {
    qmp.close();
    throw error;
  }
}

export class Qmp {
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  readonly #greetingTimeoutMs: number;
  readonly #deadline: Deadline;
  readonly #explain: QmpOptions['explain'];
  readonly #onCall: QmpOptions['onCall'];
  readonly #pending = new Map<number, Pending>();
  readonly #waits = new Set<EventWait>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #greeting: Promise<Version>;
  readonly #closed: Promise<VitrineError>;
  #settleGreeting!: { resolve: (version: Version) => void; reject: (error: VitrineError) => void };
  #settleClosed!: (error: VitrineError) => void;
  #lost: VitrineError | undefined;
  #lastId = 0;
  #version: Version = { major: 0, minor: 0, micro: 0 };

  constructor(socket: Socket, options: QmpOptions) {
    this.#socket = socket;
    this.#timeoutMs = options.timeoutMs ?? CALL_TIMEOUT_MS;
    this.#greetingTimeoutMs = options.greetingTimeoutMs ?? this.#timeoutMs;
    this.#deadline = options.deadline ?? systemDeadline;
    this.#explain = options.explain;
    this.#onCall = options.onCall;
    this.#greeting = new Promise((resolve, reject) => {
      this.#settleGreeting = { resolve, reject };
    });
    this.#greeting.catch(() => {});
    this.#closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    const lines = new LineReader(
      MAX_LINE_BYTES,
      (line) => this.#take(line),
      () => this.#lose('guest-lost', { reason: `a line longer than ${MAX_LINE_BYTES} bytes` }),
    );
    socket.on('data', (chunk: Buffer) => lines.push(chunk));
    socket.on('error', (cause: Error) => this.#lose('guest-lost', { reason: cause.message }));
    socket.on('close', () => this.#lose('guest-lost', { reason: 'the connection was closed' }));
  }

  /** The version in QEMU's greeting. */
  get version(): Version {
    return this.#version;
  }

  /** Resolves, with the reason, once the connection is gone; never rejects. */
  get closed(): Promise<VitrineError> {
    return this.#closed;
  }

  get isOpen(): boolean {
    return this.#lost === undefined;
  }

  /** Waits for the greeting and leaves QEMU's negotiation mode. */
  async greet(): Promise<void> {
    const timeoutMs = this.#greetingTimeoutMs;
    const stopClock = this.#deadline(timeoutMs, () => {
      this.#lose('guest-timeout', { command: 'greeting', timeoutMs });
    });
    try {
      this.#version = await this.#greeting;
    } finally {
      stopClock();
    }
    await this.execute('qmp_capabilities');
  }

  /**
   * Sends a command and waits for its answer.
   *
   * Throws `guest-failed` with QEMU's words when it refuses, `guest-lost` when the connection ends first, `guest-timeout`
   * when the answer does not come in time; the connection is closed then.
   */
  async execute<Name extends keyof QmpCommands>(
    command: Name,
    args?: ArgumentsOf<Name>,
    options: CallOptions = {},
  ): Promise<AnswerOf<Name>> {
    if (this.#lost !== undefined) throw this.#lost;
    this.#onCall?.(command);
    const id = ++this.#lastId;
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
    const answer = new Promise<unknown>((resolve, reject) => {
      const stopClock = this.#deadline(timeoutMs, () => this.#lose('guest-timeout', { command, timeoutMs }));
      this.#pending.set(id, { command, resolve, reject, stopClock });
    });
    const message = args === undefined ? { execute: command, id } : { execute: command, arguments: args, id };
    this.#socket.write(`${JSON.stringify(message)}\n`);
    // Safe: the table says what QEMU answers to each command; what matters of it is checked where it is used.
    return (await answer) as AnswerOf<Name>;
  }

  /**
   * Runs a command that starts a job, to the job's end. Throws as `execute`; a job that failed is `guest-failed`.
   *
   * A job that fails is `aborting` before it has `concluded`, so only such a one is asked for its reason. Dismissing is not
   * waited for, and what its caller sends at once goes before it: a machine that was put back does not rest for it.
   */
  async runJob<Name extends JobCommand>(
    command: Name,
    args: Omit<ArgumentsOf<Name>, 'job-id'>,
    options: CallOptions = {},
  ): Promise<void> {
    const id = `v${++this.#lastId}`;
    let hasFailed = false;
    // The waiter first: the job may end before the command that starts it is answered.
    const ended = this.waitFor(({ event, data }) => {
      if (event !== 'JOB_STATUS_CHANGE' || data.id !== id) return false;
      if (data.status === 'aborting') hasFailed = true;
      return data.status === 'concluded';
    }, options);
    try {
      await this.execute(command, { ...args, 'job-id': id } as ArgumentsOf<Name>, options);
    } catch (error) {
      ended.abandon();
      throw error;
    }
    await ended.event;
    if (!hasFailed) {
      // It fails with the connection alone, of which the next call hears.
      setImmediate(() => this.execute('job-dismiss', { id }).catch(() => {}));
      return;
    }
    const job = (await this.execute('query-jobs')).find((one) => one.id === id);
    await this.execute('job-dismiss', { id });
    throw new VitrineError('guest-failed', { command, said: job?.error ?? 'nothing' });
  }

  /**
   * Waits for an event from now on. `event` rejects as `execute` does when the connection ends or time runs out; after
   * `abandon` it never settles.
   */
  waitFor(
    isIt: (event: QmpEvent) => boolean,
    options: CallOptions = {},
  ): { readonly event: Promise<QmpEvent>; readonly abandon: () => void } {
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
    let abandon = (): void => {};
    const event = new Promise<QmpEvent>((resolve, reject) => {
      if (this.#lost !== undefined) {
        reject(this.#lost);
        return;
      }
      const stopClock = this.#deadline(timeoutMs, () =>
        this.#lose('guest-timeout', { command: 'an event', timeoutMs }),
      );
      const wait: EventWait = {
        isIt,
        resolve: (found) => {
          stopClock();
          resolve(found);
        },
        reject: (error) => {
          stopClock();
          reject(error);
        },
      };
      this.#waits.add(wait);
      abandon = () => {
        stopClock();
        this.#waits.delete(wait);
      };
    });
    event.catch(() => {});
    return { event, abandon };
  }

  /** Hears every event until the answer is called. A listener must not throw. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends the connection; QEMU goes on. Pending calls reject with `guest-closed`. May be called again. */
  close(): void {
    this.#end(new VitrineError('guest-closed'));
  }

  #take(line: string): void {
    if (line.trim() === '') return;
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      this.#lose('guest-lost', { reason: 'it sent what is not JSON', line: line.slice(0, 80) });
      return;
    }
    if (typeof message !== 'object' || message === null) {
      this.#lose('guest-lost', { reason: 'it sent what is no QMP message', line: line.slice(0, 80) });
      return;
    }
    const { QMP: greeting, event, id } = message as Record<string, unknown>;
    if (greeting !== undefined) this.#takeGreeting(greeting);
    else if (typeof event === 'string') this.#takeEvent(message as { event: string });
    else if (typeof id === 'number') this.#takeAnswer(id, message as Record<string, unknown>);
    else if ('error' in message) {
      // An error without an id: QEMU could not even parse what we sent, so some call would wait for ever.
      this.#lose('guest-lost', { reason: 'it did not understand a command', line: line.slice(0, 200) });
    }
  }

  #takeGreeting(greeting: unknown): void {
    const version = (greeting as { version?: { qemu?: Partial<Version> } } | null)?.version?.qemu;
    if (version === undefined || typeof version.major !== 'number') {
      this.#lose('guest-lost', { reason: 'its greeting names no version' });
      return;
    }
    this.#settleGreeting.resolve({
      major: version.major,
      minor: version.minor ?? 0,
      micro: version.micro ?? 0,
    });
  }

  #takeEvent(message: {
    readonly event: string;
    readonly data?: unknown;
    readonly timestamp?: unknown;
  }): void {
    const data = (typeof message.data === 'object' && message.data) || {};
    const { seconds = 0, microseconds = 0 } = (message.timestamp ?? {}) as Record<string, number>;
    const atMs = seconds * 1000 + microseconds / 1000;
    const event: QmpEvent = { event: message.event, data: data as QmpEvent['data'], atMs };
    for (const wait of [...this.#waits]) {
      if (!wait.isIt(event)) continue;
      this.#waits.delete(wait);
      wait.resolve(event);
    }
    for (const listener of [...this.#listeners]) listener(event);
  }

  #takeAnswer(id: number, message: Readonly<Record<string, unknown>>): void {
    const pending = this.#pending.get(id);
    // An id that nobody waits for is another's, or one whose caller is gone.
    if (pending === undefined) return;
    this.#pending.delete(id);
    pending.stopClock();
    if ('return' in message) {
      pending.resolve(message.return);
      return;
    }
    const error = message.error as { readonly class?: unknown; readonly desc?: unknown } | undefined;
    pending.reject(
      new VitrineError('guest-failed', {
        command: pending.command,
        class: String(error?.class ?? 'unknown'),
        said: String(error?.desc ?? 'nothing'),
      }),
    );
  }

  #lose(code: 'guest-lost' | 'guest-timeout', data: Readonly<Record<string, string | number>>): void {
    if (this.#lost !== undefined) return;
    const error = new VitrineError(code, data);
    if (this.#explain === undefined || code === 'guest-timeout') {
      this.#end(error);
      return;
    }
    // Calls from now on fail at once; those under way wait a moment for the better reason.
    this.#lost = error;
    this.#socket.destroy();
    this.#explain().then(
      (more) => this.#settleAll(new VitrineError(code, { ...data, ...more })),
      () => this.#settleAll(error),
    );
  }

  #end(error: VitrineError): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    this.#socket.destroy();
    this.#settleAll(error);
  }

  #settleAll(error: VitrineError): void {
    this.#lost = error;
    this.#settleGreeting.reject(error);
    for (const { reject, stopClock } of this.#pending.values()) {
      stopClock();
      reject(error);
    }
    this.#pending.clear();
    for (const wait of this.#waits) wait.reject(error);
    this.#waits.clear();
    this.#listeners.clear();
    this.#settleClosed(error);
  }
}

/** Whether QEMU itself refused a command, as opposed to being gone. */
export function isRefusal(error: unknown): error is VitrineError {
  return isVitrineError(error, 'guest-failed') && typeof error.data.said === 'string';
}

// A session: one client at one channel, on the host. It reads requests, runs their verbs, streams what they stream, and
// ends with its channel.
//
//   greeting ──hello──▶ open ──close, protocol broken, channel gone──▶ closed
//
// What a client asks wrongly is answered with an error; what breaks the protocol itself ends the session, since the two
// ends no longer agree where frames begin.

import type { OwnedBytes } from '../base/bytes.ts';
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { type ErrorCode, isVitrineError, VitrineError } from '../base/error.ts';
import { BRIDGE_LIMITS } from './bridge-limits.ts';
import { ByteBudget } from './byte-budget.ts';
import { type BridgeChannel, CLOSE_CODES } from './channel.ts';
import { decodeBody, encodeBody } from './control-body.ts';
import { encodeError } from './error-body.ts';
import { creditOf, encodeFrame, type Frame, SENT_BY } from './frame.ts';
import { FrameDecoder } from './frame-decoder.ts';
import type { Grant } from './grant.ts';
import type { BridgeHost } from './host.ts';
import { type CallParts, HostCall } from './host-call.ts';
import { ScratchMemory } from './scratch-memory.ts';
import { TokenBucket } from './token-bucket.ts';
import { verbOf } from './verb-table.ts';

/** What an audit log is told of each request that was answered. */
export interface VerbEvent {
  readonly subject: string;
  readonly verb: string;
  readonly permission: string;
  /** `ok`, or the code of the error. */
  readonly outcome: 'ok' | ErrorCode;
  /** Machine, snapshot, job, ranges: never contents. */
  readonly notes: Readonly<Record<string, unknown>>;
  readonly durationMs: number;
}

export interface SessionOptions {
  readonly clock?: Clock;
  readonly maxRequests?: number;
  readonly requestsPerSecond?: number;
  readonly requestBurst?: number;
  readonly highWaterBytes?: number;
  readonly onVerb?: (event: VerbEvent) => void;
  /** What a verb threw that is no VitrineError: the client hears of `internal` alone. */
  readonly onInternalError?: (error: unknown, verb: string) => void;
}

export interface Session {
  readonly state: 'greeting' | 'open' | 'closed';
  /** Requests under way. */
  readonly requestCount: number;
  /** Resolves when it is over: with the error that ended it, or undefined. */
  readonly closed: Promise<VitrineError | undefined>;
  /** Ends it; requests under way are given up, jobs go on. */
  close(code?: number, reason?: string): void;
}

/**
 * Serves one client at a channel whose other end is authenticated already, with what `grant` allows.
 *
 * Never throws: what goes wrong ends the session and is told by `closed`.
 */
export function serveSession(
  channel: BridgeChannel,
  host: BridgeHost,
  grant: Grant,
  options: SessionOptions = {},
): Session {
  return new HostSession(channel, host, grant, options);
}

class HostSession implements Session {
  readonly #channel: BridgeChannel;
  readonly #options: Required<Pick<SessionOptions, 'clock' | 'maxRequests' | 'highWaterBytes'>> &
    SessionOptions;
  readonly #parts: CallParts;
  readonly #decoder = new FrameDecoder(SENT_BY.client);
  readonly #bucket: TokenBucket;
  readonly #calls = new Map<number, HostCall>();
  readonly closed: Promise<VitrineError | undefined>;
  #finish: (error: VitrineError | undefined) => void = () => {};
  #state: Session['state'] = 'greeting';
  #newestRequest = 0;
  #waitingForRoom: (() => void)[] = [];

  constructor(channel: BridgeChannel, host: BridgeHost, grant: Grant, options: SessionOptions) {
    const clock = options.clock ?? SYSTEM_CLOCK;
    this.#channel = channel;
    this.#options = {
      maxRequests: BRIDGE_LIMITS.maxRequests,
      highWaterBytes: BRIDGE_LIMITS.highWaterBytes,
      ...options,
      clock,
    };
    this.#bucket = new TokenBucket({
      perSecond: options.requestsPerSecond ?? BRIDGE_LIMITS.requestsPerSecond,
      burst: options.requestBurst ?? BRIDGE_LIMITS.requestBurst,
      clock,
    });
    this.#parts = {
      host,
      grant,
      nowMs: () => clock.nowMs(),
      send: (frame) => this.#send(frame),
      room: () => this.#room(),
      memory: new ByteBudget(BRIDGE_LIMITS.peekCopyBytes),
      scratch: new ScratchMemory(channel),
    };
    this.closed = new Promise((resolve) => {
      this.#finish = resolve;
    });
    channel.onMessage = (message) => this.#receive(message);
    channel.onDrain = () => this.#drained();
    channel.onClose = () => this.#end(undefined);
  }

  get state(): Session['state'] {
    return this.#state;
  }

  get requestCount(): number {
    return this.#calls.size;
  }

  close(code: number = CLOSE_CODES.normal, reason = ''): void {
    this.#end(undefined);
    this.#channel.close(code, reason);
  }

  #receive(message: OwnedBytes): void {
    if (this.#state === 'closed') return;
    try {
      for (const frame of this.#decoder.push(message)) {
        this.#take(frame);
        if (this.state === 'closed') return;
      }
    } catch (error) {
      if (!isVitrineError(error)) throw error;
      this.#end(error);
      this.#channel.close(CLOSE_CODES.protocol, error.code);
    }
  }

  #take(frame: Frame): void {
    if (frame.type === 'request') {
      this.#begin(frame);
      return;
    }
    // A request that has just ended: what was on its way to it is nobody's.
    const isKnown = frame.request <= this.#newestRequest;
    if (!isKnown) {
      throw new VitrineError('format-range', { record: frame.type, field: 'request', value: frame.request });
    }
    const call = this.#calls.get(frame.request);
    if (frame.type === 'cancel') call?.cancel();
    else call?.take(frame, frame.type === 'credit' ? creditOf(frame) : 0);
  }

  #begin(frame: Frame): void {
    // Ascending ids: a duplicate is seen without remembering all that were used.
    if (frame.request <= this.#newestRequest) {
      throw new VitrineError('format-range', { record: 'request', field: 'request', value: frame.request });
    }
    this.#newestRequest = frame.request;
    const startMs = this.#options.clock.nowMs();
    const verb = verbOf(frame.verb);
    if (verb === undefined) {
      this.#answerError(frame.request, new VitrineError('unsupported', { verb: frame.verb }));
      return;
    }
    const call = new HostCall(this.#parts, verb, frame.request);
    void this.#run(call, frame.body.slice()).then((outcome) => {
      const { subject } = this.#parts.grant;
      const durationMs = this.#options.clock.nowMs() - startMs;
      const { name, permission } = verb;
      this.#options.onVerb?.({ subject, verb: name, permission, outcome, notes: call.notes, durationMs });
    });
  }

  /** Runs one request to its answer. Never throws. */
  async #run(call: HostCall, body: OwnedBytes): Promise<VerbEvent['outcome']> {
    const { verb, request } = call;
    try {
      this.#admit(call);
      const params = decodeBody(body, verb.request, `${verb.name} request`);
      const result = await verb.run(call, params);
      if (verb.name === 'hello' && this.#state === 'greeting') this.#state = 'open';
      const answer = encodeBody(result);
      if (answer.length > BRIDGE_LIMITS.controlFrameBytes) {
        throw new VitrineError('internal', { verb: verb.name, answerBytes: answer.length });
      }
      this.#calls.delete(request);
      this.#send(encodeFrame({ type: 'response', request, body: answer }));
      return 'ok';
    } catch (error) {
      this.#calls.delete(request);
      if (!isVitrineError(error)) this.#options.onInternalError?.(error, verb.name);
      this.#answerError(request, error);
      return isVitrineError(error) ? error.code : 'internal';
    }
  }

  #admit(call: HostCall): void {
    const isHello = call.verb.name === 'hello';
    if (isHello !== (this.#state === 'greeting')) {
      throw new VitrineError('wrong-state', { actual: this.#state, required: isHello ? 'greeting' : 'open' });
    }
    if (this.#calls.size >= this.#options.maxRequests) {
      throw new VitrineError('overloaded', { requests: this.#calls.size, retryAfterMs: 100 });
    }
    const waitMs = this.#bucket.take();
    if (waitMs > 0) throw new VitrineError('overloaded', { retryAfterMs: waitMs });
    this.#calls.set(call.request, call);
  }

  #answerError(request: number, error: unknown): void {
    this.#send(encodeFrame({ type: 'error', request, body: encodeError(error) }));
  }

  #send(frame: OwnedBytes): void {
    if (this.#state !== 'closed') this.#channel.send(frame);
  }

  /** Streams wait here, answers do not: what they add is bounded by the requests under way. */
  async #room(): Promise<void> {
    while (this.#state !== 'closed' && this.#channel.bufferedBytes > this.#options.highWaterBytes) {
      await new Promise<void>((resolve) => {
        this.#waitingForRoom.push(resolve);
      });
    }
  }

  #drained(): void {
    const waiting = this.#waitingForRoom;
    this.#waitingForRoom = [];
    for (const resolve of waiting) resolve();
  }

  #end(error: VitrineError | undefined): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    for (const call of this.#calls.values()) call.disconnect();
    this.#drained();
    this.#finish(error);
  }
}

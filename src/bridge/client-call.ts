// One request from the client's side: it spends and grants credit, hands on what is streamed, and settles once.

import type { InferOutput } from 'valibot';
import * as v from 'valibot';
import { concatBytes, type OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { Progress } from '../base/work.ts';
import { BRIDGE_LIMITS } from './bridge-limits.ts';
import type { Schema } from './control-body.ts';
import { decodeBody } from './control-body.ts';
import { CreditLedger, CreditPurse } from './credit.ts';
import { decodeError } from './error-body.ts';
import { PROGRESS } from './fields.ts';
import { creditFrame, creditOf, encodeFrame, encodeHeader, type Frame } from './frame.ts';
import { Mailbox } from './mailbox.ts';
import type { Verb } from './verb.ts';

/** What a call needs of its connection. */
export interface CallChannel {
  readonly send: (frame: OwnedBytes) => void;
  /** Whether what comes is lent, as a channel says it. */
  readonly lends: boolean;
}

/** What a caller may want of a request beside its answer. */
export interface CallOptions {
  /** Gives the request up; the host answers `aborted` if it was in time. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Bytes of the stream, in order; the next ones come when it has resolved. */
  readonly onBytes?: (bytes: OwnedBytes) => void | Promise<void>;
  /** As `onBytes`, for who is done with them when it returns: they are lent, and nothing is copied or kept in between. */
  readonly onLentBytes?: (bytes: OwnedBytes) => void;
  /** Items of the stream, likewise. */
  readonly onItems?: (items: readonly unknown[]) => void | Promise<void>;
  /** What to stream up, the channel's once it was sent; nothing is taken of it before the host grants credit. */
  readonly input?: AsyncIterable<OwnedBytes>;
}

export class ClientCall {
  readonly request: number;
  readonly answer: Promise<unknown>;
  readonly #verb: Verb;
  readonly #send: (frame: OwnedBytes) => void;
  readonly #lends: boolean;
  readonly #options: CallOptions;
  readonly #purse = new CreditPurse();
  readonly #ledger = new CreditLedger();
  readonly #mailbox = new Mailbox<OwnedBytes>();
  #isAnswered = false;
  /** What was answered, while what was streamed before it is not taken yet. */
  #result: { readonly value: unknown } | null = null;
  #resolve: (value: unknown) => void = () => {};
  #reject: (reason: unknown) => void = () => {};

  constructor(verb: Verb, request: number, { send, lends }: CallChannel, options: CallOptions) {
    this.#verb = verb;
    this.request = request;
    this.#send = send;
    this.#lends = lends;
    this.#options = options;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Whether data may come in parts of frames. */
  get isInParts(): boolean {
    return this.#verb.streams.down === 'bytes';
  }

  /** Sends the request and what goes with it. */
  start(params: OwnedBytes): void {
    const { request } = this;
    const frame = encodeFrame({ type: 'request', request, verb: this.#verb.id, body: params });
    if (this.#verb.streams.down === 'none') this.#send(frame);
    else {
      this.#ledger.granted(BRIDGE_LIMITS.clientWindowBytes);
      // One message: each costs a call of the system here, and one there.
      this.#send(concatBytes([frame, creditFrame(request, BRIDGE_LIMITS.clientWindowBytes)]));
      if (this.#options.onLentBytes === undefined) void this.#consume();
    }
    if (this.#verb.streams.up !== 'none') void this.#stream();
  }

  /** A frame of this request. Returns whether it was the last one. Throws `format-*` when the host breaks the protocol. */
  take(frame: Frame): boolean {
    switch (frame.type) {
      case 'progress':
        this.#tell(decodeBody(frame.body, PROGRESS, 'progress'));
        return false;
      case 'credit':
        this.#purse.grant(creditOf(frame));
        return false;
      case 'data':
        if (this.#verb.streams.down === 'none' || frame.end) {
          throw new VitrineError('format-range', { record: 'data', field: 'request', value: this.request });
        }
        this.#ledger.received(frame.body.length);
        this.#put(frame.body);
        return false;
      case 'error':
        this.fail(decodeError(frame.body));
        return true;
      default:
        this.#finish(decodeBody(frame.body, this.#verb.response, `${this.#verb.name} response`));
        return true;
    }
  }

  /** Ends it with an error, whatever was under way. */
  fail(reason: unknown): void {
    this.#reject(reason);
    this.#mailbox.break(reason);
    this.#purse.break(reason);
  }

  #tell(progress: Progress): void {
    try {
      this.#options.onProgress?.(progress);
    } catch (error) {
      this.#giveUp(error);
    }
  }

  /** The answer is there; it counts when all that was streamed before it was taken. */
  #finish(value: InferOutput<Schema>): void {
    this.#isAnswered = true;
    this.#purse.break(new VitrineError('wrong-state', { actual: 'answered', required: 'under way' }));
    this.#result = { value };
    this.#mailbox.close();
    // Nothing that was streamed waits.
    if (this.#verb.streams.down === 'none' || this.#options.onLentBytes !== undefined) this.#resolve(value);
  }

  #put(bytes: OwnedBytes): void {
    const { onLentBytes } = this.#options;
    if (onLentBytes === undefined) {
      this.#mailbox.put(this.#lends ? bytes.slice() : bytes);
      return;
    }
    if (this.#mailbox.isClosed) return;
    try {
      onLentBytes(bytes);
      this.#grant(this.#ledger.taken(bytes.length));
    } catch (error) {
      this.#giveUp(error);
    }
  }

  async #consume(): Promise<void> {
    try {
      for (;;) {
        const bytes = await this.#mailbox.take();
        if (bytes === undefined) break;
        if (this.#verb.streams.down === 'items') {
          // Safe: a verb that streams items has their schema.
          const items = v.array(this.#verb.item!);
          await this.#options.onItems?.(decodeBody(bytes, items, `${this.#verb.name} items`));
        } else await this.#options.onBytes?.(bytes);
        this.#grant(this.#ledger.taken(bytes.length));
      }
      this.#resolve(this.#result?.value);
    } catch (error) {
      this.#giveUp(error);
    }
  }

  async #stream(): Promise<void> {
    const { request } = this;
    try {
      // A request that is refused can be made again with the same input.
      await this.#purse.nonEmpty();
      for await (const bytes of this.#options.input ?? []) {
        for (let at = 0; at < bytes.length; ) {
          const most = Math.min(BRIDGE_LIMITS.dataFrameBytes, bytes.length - at);
          const taken = await this.#purse.take(1, most);
          this.#send(encodeHeader({ type: 'data', request }, taken));
          this.#send(bytes.subarray(at, at + taken));
          at += taken;
        }
      }
      this.#send(encodeFrame({ type: 'data', request, end: true }));
    } catch (error) {
      // A host may answer before it has taken everything.
      if (!this.#isAnswered) this.#giveUp(error);
    }
  }

  /** The caller's own part failed: the host is told, and the caller hears of its own error. */
  #giveUp(error: unknown): void {
    this.#reject(error);
    this.#mailbox.break(error);
    this.#purse.break(error);
    this.#send(encodeFrame({ type: 'cancel', request: this.request }));
  }

  #grant(bytes: number): void {
    if (bytes === 0 || this.#mailbox.isClosed) return;
    this.#ledger.granted(bytes);
    this.#send(creditFrame(this.request, bytes));
  }
}

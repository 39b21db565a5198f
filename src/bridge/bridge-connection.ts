// A connection: one channel from the client's side, its requests, and their end. When the channel closes, every request
// under way is rejected with `connection-lost`; nothing is tried again here.

import type { InferInput, InferOutput } from 'valibot';
import type { OwnedBytes } from '../base/bytes.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import { throwIfAborted } from '../base/work.ts';
import { type BridgeChannel, CLOSE_CODES } from './channel.ts';
import { type CallOptions, ClientCall } from './client-call.ts';
import { checkBody, encodeBody } from './control-body.ts';
import { encodeFrame, SENT_BY } from './frame.ts';
import { FrameDecoder } from './frame-decoder.ts';
import { retryOverloaded } from './retry-overloaded.ts';
import type { Verb } from './verb.ts';
import { VERBS, type VerbName } from './verb-table.ts';

export type RequestOf<Name extends VerbName> = InferInput<(typeof VERBS)[Name]['request']>;
export type ResponseOf<Name extends VerbName> = InferOutput<(typeof VERBS)[Name]['response']>;
export type ItemOf<Name extends VerbName> = InferOutput<NonNullable<(typeof VERBS)[Name]['item']>>;
export type HelloResponse = ResponseOf<'hello'>;

export class BridgeConnection {
  /** Resolves when it is over, with why. */
  readonly closed: Promise<VitrineError>;
  readonly #channel: BridgeChannel;
  readonly #decoder = new FrameDecoder(
    SENT_BY.host,
    (request) => this.#calls.get(request)?.isInParts !== false,
  );
  readonly #calls = new Map<number, ClientCall>();
  #request = 0;
  #end: VitrineError | null = null;
  #resolveClosed: (reason: VitrineError) => void = () => {};

  constructor(channel: BridgeChannel) {
    this.#channel = channel;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    channel.onMessage = (message) => this.#receive(message);
    channel.onClose = () => this.#finish(new VitrineError('connection-lost'));
  }

  /** Whether requests can be made. */
  get isOpen(): boolean {
    return this.#end === null;
  }

  /**
   * One request; where the host is too busy for it, it is made again when the host says so.
   *
   * Throws what the host answers, `connection-lost`, `aborted`, and `format-range` for parameters that the verb does not take,
   * before anything is sent.
   */
  call<Name extends VerbName>(
    name: Name,
    params: RequestOf<Name>,
    options: CallOptions = {},
  ): Promise<ResponseOf<Name>> {
    return retryOverloaded(() => this.#callOnce(name, params, options), options.signal);
  }

  async #callOnce<Name extends VerbName>(
    name: Name,
    params: RequestOf<Name>,
    options: CallOptions,
  ): Promise<ResponseOf<Name>> {
    if (this.#end !== null) throw this.#end;
    throwIfAborted(options.signal);
    // Safe: as in the table itself; what comes back is checked by this verb's schema.
    const verb = VERBS[name] as unknown as Verb;
    checkBody(params, verb.request, `${verb.name} request`);
    const body = encodeBody(params);
    const request = ++this.#request;
    const lends = this.#channel.lends === true;
    const call = new ClientCall(verb, request, { send: (frame) => this.#send(frame), lends }, options);
    this.#calls.set(request, call);
    const cancel = (): void => this.#send(encodeFrame({ type: 'cancel', request }));
    options.signal?.addEventListener('abort', cancel);
    try {
      call.start(body);
      return (await call.answer) as ResponseOf<Name>;
    } finally {
      options.signal?.removeEventListener('abort', cancel);
    }
  }

  /** As `call`, with all items of its stream. */
  async collect<Name extends VerbName>(
    name: Name,
    params: RequestOf<Name>,
    options: CallOptions = {},
  ): Promise<{ readonly response: ResponseOf<Name>; readonly items: ItemOf<Name>[] }> {
    const items: ItemOf<Name>[] = [];
    const onItems = (some: readonly unknown[]): void => {
      // Safe: checked by the verb's own schema.
      for (const item of some) items.push(item as ItemOf<Name>);
    };
    return { response: await this.call(name, params, { ...options, onItems }), items };
  }

  /** Closes it; requests under way are rejected. */
  close(): void {
    this.#finish(new VitrineError('connection-lost', { by: 'client' }));
    this.#channel.close(CLOSE_CODES.normal, '');
  }

  #receive(message: OwnedBytes): void {
    if (this.#end !== null) return;
    try {
      for (const frame of this.#decoder.push(message)) {
        const call = this.#calls.get(frame.request);
        if (call === undefined) {
          // One that the caller gave up may be answered still.
          if (frame.request > this.#request) {
            throw new VitrineError('format-range', {
              record: frame.type,
              field: 'request',
              value: frame.request,
            });
          }
          continue;
        }
        if (call.take(frame)) this.#calls.delete(frame.request);
      }
    } catch (error) {
      if (!isVitrineError(error)) throw error;
      this.#finish(error);
      this.#channel.close(CLOSE_CODES.protocol, error.code);
    }
  }

  #send(frame: OwnedBytes): void {
    if (this.#end === null) this.#channel.send(frame);
  }

  #finish(reason: VitrineError): void {
    if (this.#end !== null) return;
    this.#end = reason;
    for (const call of this.#calls.values()) call.fail(reason);
    this.#calls.clear();
    this.#resolveClosed(reason);
  }
}

// A client that does what a test says, right or wrong: it sends frames and keeps what comes.

import { decode } from 'cborg';
import { expect } from 'vitest';
import type { OwnedBytes } from '../../src/base/bytes.ts';
import { encodeBody } from '../../src/bridge/control-body.ts';
import { decodeError } from '../../src/bridge/error-body.ts';
import { creditFrame, encodeFrame, type Frame, SENT_BY } from '../../src/bridge/frame.ts';
import { FrameDecoder } from '../../src/bridge/frame-decoder.ts';
import { fullGrant, type Grant } from '../../src/bridge/grant.ts';
import type { BridgeHost } from '../../src/bridge/host.ts';
import { type Session, type SessionOptions, serveSession } from '../../src/bridge/session.ts';
import { VERBS, type VerbName } from '../../src/bridge/verb-table.ts';
import { channelPair, type MemoryChannel, type PairOptions } from '../support/channel-pair.ts';

export class RawClient {
  readonly channel: MemoryChannel;
  readonly hostChannel: MemoryChannel;
  readonly session: Session;
  readonly frames: Frame[] = [];
  readonly #decoder = new FrameDecoder(SENT_BY.host);
  #request = 0;

  constructor(
    host: BridgeHost,
    options: {
      readonly grant?: Grant;
      readonly session?: SessionOptions;
      readonly pair?: PairOptions;
    } = {},
  ) {
    [this.channel, this.hostChannel] = channelPair(options.pair);
    this.channel.onMessage = (message) => {
      for (const frame of this.#decoder.push(message))
        this.frames.push({ ...frame, body: frame.body.slice() });
    };
    this.session = serveSession(
      this.hostChannel,
      host,
      options.grant ?? fullGrant('tester'),
      options.session,
    );
  }

  raw(bytes: OwnedBytes): void {
    this.channel.send(bytes);
  }

  /** Sends a request; returns its id. */
  ask(verb: VerbName | number, params: unknown, options: { request?: number; credit?: number } = {}): number {
    const id = typeof verb === 'number' ? verb : VERBS[verb].id;
    const request = options.request ?? ++this.#request;
    this.#request = Math.max(this.#request, request);
    this.raw(encodeFrame({ type: 'request', request, verb: id, body: encodeBody(params) }));
    if (options.credit !== undefined) this.raw(creditFrame(request, options.credit));
    return request;
  }

  framesOf(request: number, type?: Frame['type']): Frame[] {
    return this.frames.filter(
      (frame) => frame.request === request && (type === undefined || frame.type === type),
    );
  }

  /** The answer to a request: its value, or the code of the error. */
  async answer(request: number): Promise<{ value?: unknown; code?: string }> {
    const end = await expect
      .poll(() => this.frames.find((frame) => frame.request === request && isEnd(frame)), {
        timeout: 20_000,
        interval: 2,
      })
      .toBeDefined()
      .then(() => this.frames.find((frame) => frame.request === request && isEnd(frame))!);
    return end.type === 'error' ? { code: decodeError(end.body).code } : { value: decode(end.body) };
  }

  /** Says hello and asks. */
  async open(): Promise<void> {
    const { code } = await this.answer(this.ask('hello', { software: 'raw' }));
    expect(code).toBeUndefined();
  }

  async call(verb: VerbName, params: unknown, credit = 1 << 20): Promise<{ value?: unknown; code?: string }> {
    return this.answer(this.ask(verb, params, { credit }));
  }

  async closed(): Promise<string> {
    const error = await this.session.closed;
    return error === undefined ? 'closed' : error.code;
  }
}

function isEnd(frame: Frame): boolean {
  return frame.type === 'response' || frame.type === 'error';
}

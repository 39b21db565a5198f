// Errors across a real message channel: what a caller catches is what was thrown.

import { MessageChannel } from 'node:worker_threads';
import { expose, wrap } from 'comlink';
// @ts-expect-error -- Comlink ships no declarations for this file: it gives Node's ports the shape of the web's.
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import { afterEach, describe, expect, it } from 'vitest';
import { VitrineError } from '../../src/base/error.ts';
import { installErrorTransfer } from '../../src/rpc/error-transfer.ts';

const open: { close(): void }[] = [];

afterEach(() => {
  for (const port of open.splice(0)) port.close();
});

/** What arrives at the caller when the callee throws `value`. */
async function thrownAcross(value: unknown): Promise<unknown> {
  installErrorTransfer();
  const { port1, port2 } = new MessageChannel();
  open.push(port1, port2);
  const api = {
    fail(): void {
      throw value;
    },
  };
  expose(api, nodeEndpoint(port1));
  return wrap<typeof api>(nodeEndpoint(port2))
    .fail()
    .then(
      () => expect.fail('the call did not throw'),
      (error: unknown) => error,
    );
}

describe('error transfer', () => {
  it('keeps class, code, data, message and stack', async () => {
    const thrown = new VitrineError('store-full', {
      key: 'packs/3f',
      neededBytes: 7,
      list: [1, 'a'],
      none: null,
    });
    const caught = await thrownAcross(thrown);
    expect(caught).toBeInstanceOf(VitrineError);
    expect(caught).toMatchObject({
      code: thrown.code,
      data: thrown.data,
      message: thrown.message,
      stack: thrown.stack,
    });
    expect((caught as Error).cause).toBeUndefined();
  });

  it('keeps causes of every kind, nested', async () => {
    const platform = new RangeError('out of memory');
    const inner = new VitrineError('codec-damaged', { codec: 'lz4' }, { cause: platform });
    const caught = await thrownAcross(new VitrineError('object-damaged', { frame: 3 }, { cause: inner }));
    expect(caught).toMatchObject({
      code: 'object-damaged',
      cause: {
        code: 'codec-damaged',
        data: { codec: 'lz4' },
        cause: { name: 'RangeError', message: 'out of memory' },
      },
    });
    expect((caught as Error).cause).toBeInstanceOf(VitrineError);
  });

  it('keeps name and message of other errors', async () => {
    const caught = await thrownAcross(new TypeError('x is not a function'));
    expect(caught).toBeInstanceOf(Error);
    expect(caught).not.toBeInstanceOf(VitrineError);
    expect(caught).toMatchObject({ name: 'TypeError', message: 'x is not a function' });
  });

  it('makes an error of what is none', async () => {
    const caught = await Promise.all(['plain text', 42, undefined].map(thrownAcross));
    expect(caught.map((error) => (error as Error).message)).toEqual(['plain text', '42', 'undefined']);
  });

  it('carries what cannot be cloned, and causes that go in a circle', async () => {
    const circle = new Error('circle', { cause: () => 'a function' });
    expect(await thrownAcross(circle)).toMatchObject({ message: 'circle', cause: expect.any(Error) });
    circle.cause = circle;
    expect(await thrownAcross(circle)).toMatchObject({ message: 'circle', cause: { message: 'circle' } });
  });
});

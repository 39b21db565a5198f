// Errors and the table of their codes: codes are API, messages say what, where and which numbers.

import { describe, expect, it } from 'vitest';
import { assert, assertUnreachable } from '../../src/base/assert.ts';
import { ERRORS, type ErrorCode, isVitrineError, VitrineError } from '../../src/base/error.ts';
import { throwIfAborted } from '../../src/base/work.ts';

describe('VitrineError', () => {
  it('keeps code, data and cause, and says all of them but the cause', () => {
    const cause = new Error('disk on fire');
    const error = new VitrineError('store-io', { key: 'packs/3f', tries: 2 }, { cause });
    expect(error).toMatchObject({
      name: 'VitrineError',
      code: 'store-io',
      data: { key: 'packs/3f', tries: 2 },
    });
    expect(error.cause).toBe(cause);
    expect(error.message).toBe(`store-io: ${ERRORS['store-io'].meaning} (key "packs/3f", tries 2)`);
    expect(new VitrineError('aborted').message).toBe(`aborted: ${ERRORS.aborted.meaning}`);
    expect('cause' in new VitrineError('aborted')).toBe(false);
  });

  it('is told from other errors, and by its code', () => {
    const error: unknown = new VitrineError('busy');
    expect([isVitrineError(error), isVitrineError(error, 'busy'), isVitrineError(error, 'aborted')]).toEqual([
      true,
      true,
      false,
    ]);
    const lookalike = Object.assign(new Error('busy'), { code: 'busy', data: {} });
    expect([lookalike, undefined, 'busy'].map((one) => isVitrineError(one))).toEqual([false, false, false]);
  });
});

describe('ERRORS', () => {
  it('has kebab-case codes with a meaning and a remedy in sentences', () => {
    const odd = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => {
      const { meaning, remedy } = ERRORS[code];
      const sentences = [meaning, remedy].every((text) => /^[A-Z].*\.$/.test(text));
      return !/^[a-z]+(-[a-z]+)*$/.test(code) || !sentences;
    });
    expect(odd).toEqual([]);
  });
});

describe('assert', () => {
  it('throws plain errors: a mistake of ours is no operating failure', () => {
    expect(() => assert(true, 'never said')).not.toThrow();
    expect(() => assert(false, 'two is three')).toThrow('assertion failed: two is three');
    expect(() => assertUnreachable({ kind: 'new' } as never)).toThrow('{"kind":"new"}');
  });
});

describe('throwIfAborted', () => {
  it('throws once the signal has fired, with its reason as cause', () => {
    const controller = new AbortController();
    throwIfAborted(undefined);
    throwIfAborted(controller.signal);
    const reason = new Error('the tab closes');
    controller.abort(reason);
    expect(() => throwIfAborted(controller.signal)).toThrow(
      expect.objectContaining({ code: 'aborted', cause: reason }),
    );
  });
});

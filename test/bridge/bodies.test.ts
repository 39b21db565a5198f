// Bodies of control frames: what they hold, and what they refuse.

import { encode } from 'cborg';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { isVitrineError, VitrineError } from '../../src/base/error.ts';
import { BRIDGE_LIMITS } from '../../src/bridge/bridge-limits.ts';
import { decodeBody, encodeBody } from '../../src/bridge/control-body.ts';
import { decodeError, encodeError } from '../../src/bridge/error-body.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';

const SAMPLE = v.strictObject({
  name: v.string(),
  counts: v.array(v.number()),
  bytes: v.instance(Uint8Array),
});
const VALUE = { name: 'ä😀', counts: [0, -1, 2 ** 53 - 1, 1.5], bytes: Uint8Array.of(1, 2, 3) };

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return isVitrineError(error) ? error.code : String(error);
  }
  return 'accepted';
}

describe('bodies', () => {
  it('come back as they went', () => {
    expect(decodeBody(encodeBody(VALUE), SAMPLE, 'sample')).toEqual(VALUE);
    expect([...encodeBody({ b: 1, a: undefined })]).toEqual([...encodeBody({ b: 1 })]);
  });

  it('keep nothing of the message they came in', () => {
    const message = encodeBody(VALUE);
    const { bytes } = decodeBody(message, SAMPLE, 'sample');
    message.fill(0);
    expect([...bytes]).toEqual([1, 2, 3]);
  });

  it('name the first field that is wrong', () => {
    const wrong = encodeBody({ ...VALUE, counts: [1, 'two'] });
    expect(() => decodeBody(wrong, SAMPLE, 'sample')).toThrow(
      expect.objectContaining({ code: 'format-range', data: expect.objectContaining({ field: 'counts.1' }) }),
    );
    expect(codeOf(() => decodeBody(encodeBody({ ...VALUE, more: 1 }), SAMPLE, 'sample'))).toBe(
      'format-range',
    );
  });

  it('refuse what CBOR could hold and a body does not', () => {
    const anything = v.unknown();
    const refused: Record<string, Uint8Array<ArrayBuffer>> = {
      'two values': Uint8Array.of(1, 1),
      'nothing at all': new Uint8Array(0),
      'a long form of a short number': Uint8Array.of(0x18, 1),
      'an endless list': Uint8Array.of(0x9f, 1, 0xff),
      'a tag': Uint8Array.of(0xc1, 1),
      undefined: Uint8Array.of(0xf7),
      'not a number': Uint8Array.of(0xf9, 0x7e, 0),
      infinity: Uint8Array.of(0xf9, 0x7c, 0),
      'a number past 2^53': Uint8Array.of(0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
      'a key twice': Uint8Array.of(0xa2, 0x61, 0x61, 1, 0x61, 0x61, 2),
      'a key that is no text': Uint8Array.of(0xa1, 1, 1),
      'a list of 4 billion': Uint8Array.of(0x9a, 0xff, 0xff, 0xff, 0xff, 1),
      'bytes of 4 billion': Uint8Array.of(0x5a, 0xff, 0xff, 0xff, 0xff, 1),
      'a list in a list in a list': new Uint8Array(60_000).fill(0x81),
    };
    for (const [what, bytes] of Object.entries(refused)) {
      expect([what, codeOf(() => decodeBody(bytes, anything, 'sample'))]).toEqual([what, 'format-range']);
    }
  });

  it('do not let a key reach a prototype', () => {
    const body = encode(new Map([['__proto__', new Map([['isAdmin', true]])]])) as Uint8Array<ArrayBuffer>;
    const value = decodeBody(body, v.unknown(), 'sample') as Record<string, unknown>;
    expect(value.isAdmin).toBeUndefined();
    expect(({} as Record<string, unknown>).isAdmin).toBeUndefined();
  });

  it('of flipped bits are a value of the schema or a format error, and nothing else', () => {
    const random = new Random(seedOfRun());
    const codes = new Set<string>();
    for (let round = 0; round < 3000; round++) {
      const bytes = random.chance(0.3) ? random.bytes(random.below(60)) : encodeBody(VALUE);
      for (let flips = 1 + random.below(3); flips > 0 && bytes.length > 0; flips--) {
        bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      }
      codes.add(codeOf(() => decodeBody(bytes, SAMPLE, 'sample')));
    }
    expect([...codes].sort()).toEqual(['accepted', 'format-range']);
  });
});

describe('errors on the wire', () => {
  it('keep code, data and causes', () => {
    const cause = new VitrineError('store-io', { key: 'packs/1' });
    const error = new VitrineError(
      'busy',
      { machine: 'a', list: [1, 'two'], none: null, yes: true },
      { cause },
    );
    const back = decodeError(encodeError(error));
    expect(back).toMatchObject({ code: 'busy', data: error.data });
    expect(back.cause).toMatchObject({ code: 'store-io', data: cause.data });
  });

  it('tell nothing of what is no VitrineError', () => {
    const body = encodeError(new Error('ENOENT: no such file, open secret'));
    expect(new TextDecoder().decode(body)).not.toContain('secret');
    expect(decodeError(body).code).toBe('internal');
  });

  it('arrive whatever they hold', () => {
    const data = Object.fromEntries(
      Array.from({ length: 100 }, (_, index) => [`field${index}`, 'x'.repeat(5000)]),
    );
    const body = encodeError(new VitrineError('busy', { ...data, not: Number.NaN }));
    expect(body.length).toBeLessThanOrEqual(BRIDGE_LIMITS.errorFrameBytes);
    expect(decodeError(body).code).toBe('busy');
    expect(decodeError(encodeError(new VitrineError('busy', { not: Number.NaN }))).data).toEqual({
      not: 'NaN',
    });
  });

  it('of a later release are told apart', () => {
    const body = encodeBody([{ code: 'not-invented-yet', data: { why: 'later' } }]);
    expect(decodeError(body)).toMatchObject({
      code: 'remote-failed',
      data: { code: 'not-invented-yet', why: 'later' },
    });
  });
});

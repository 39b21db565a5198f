// The state codec: exact on every tree, and on other bytes a refusal and nothing worse. `SEED=123` sets the seed.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeState,
  LARGE_BYTES,
  StateFormatError,
  type StateValue,
} from '../../../src/guest/v86/state-codec.ts';
import { StateEncoder } from '../../../src/guest/v86/state-encoder.ts';

const SEED = Number(process.env.SEED ?? 0x5eed);

const scalar = fc.oneof(
  fc.constantFrom(
    undefined,
    null,
    true,
    false,
    -0,
    2 ** 31,
    -(2 ** 31),
    Number.NaN,
    Number.NEGATIVE_INFINITY,
  ),
  fc.integer(),
  fc.double(),
  fc.string({ unit: 'grapheme' }),
);
const array = fc.oneof(
  fc.uint8Array({ maxLength: 64 }),
  fc.uint8Array({ minLength: LARGE_BYTES, maxLength: LARGE_BYTES + 8 }),
  fc.float64Array({ maxLength: 8 }),
  fc.uint32Array({ maxLength: 8 }),
  fc.int16Array({ maxLength: 8 }),
);
const { tree } = fc.letrec<{ tree: StateValue }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 5 },
    scalar,
    array,
    fc.array(tie('tree'), { maxLength: 6 }),
    fc.array(fc.tuple(fc.integer(), tie('tree')), { maxLength: 4 }).map((pairs) => new Map(pairs)),
  ),
}));

const encodeState = (value: unknown, nameOf: (path: string) => string) =>
  new StateEncoder({ nameOf, keep: (_, bytes) => Uint8Array.from(bytes) }).encode(value);
const encode = (value: unknown) => encodeState(value, (path) => `at.${path}`);

describe('the state codec', () => {
  it('gives back every tree, and the same bytes for it', () => {
    fc.assert(
      fc.property(tree, (value) => {
        const encoded = encode(value);
        const { value: decoded, layout } = decodeState(encoded.tree, encoded.large);
        expect(decoded).toEqual(value);
        expect(layout).toEqual(encoded.layout);
        expect(encode(decoded)).toEqual(encoded);
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  it('refuses every tree that is cut off, and bytes after its end', () => {
    const { tree: bytes, large } = encode([1, 1.5, 'text', [null, undefined], new Map([[1, true]])]);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeState(bytes.subarray(0, length), large)).toThrow(StateFormatError);
    }
    expect(() => decodeState(Uint8Array.from([...bytes, 0]), large)).toThrow(StateFormatError);
  });

  it('refuses or decodes whatever bytes it is given, and throws nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeState(bytes, new Map());
        } catch (error) {
          expect(error).toBeInstanceOf(StateFormatError);
        }
      }),
      { seed: SEED, numRuns: 600 },
    );
  });

  it('refuses counts that the bytes cannot hold, before it makes room for them', () => {
    for (const tag of [6, 7, 9]) {
      const bytes = Uint8Array.of(tag, 0xff, 0xff, 0xff, 0xff);
      expect(() => decodeState(bytes, new Map())).toThrow(StateFormatError);
    }
    expect(() => decodeState(Uint8Array.of(8, 0, 0xff, 0xff, 0xff, 0x7f), new Map())).toThrow(
      StateFormatError,
    );
    const nested = new Uint8Array(5 * 64);
    for (let at = 0; at < nested.length; at += 5) nested.set([7, 1, 0, 0, 0], at);
    expect(() => decodeState(nested, new Map())).toThrow(StateFormatError);
  });

  it('refuses large buffers that are missing, too many, of another length or used twice', () => {
    const buffer = new Uint8Array(LARGE_BYTES).fill(7);
    const { tree: bytes, large } = encode([buffer]);
    expect(large.get('at.0')).toEqual(buffer);
    expect(() => decodeState(bytes, new Map())).toThrow(StateFormatError);
    expect(() => decodeState(bytes, new Map([['at.0', buffer.subarray(1)]]))).toThrow(StateFormatError);
    expect(() => decodeState(bytes, new Map([...large, ['other', buffer]]))).toThrow(StateFormatError);
    const twice = encodeState([buffer, buffer], () => 'same');
    expect(() => decodeState(twice.tree, twice.large)).toThrow(StateFormatError);
  });

  it('tells where parts lie, and reads a tree without some of them', () => {
    const big = new Uint8Array(LARGE_BYTES).fill(3);
    const parts = [1, [2, new Map([[3, big]])], 'text', null, Uint8Array.of(5)];
    const { tree: bytes, large, layout } = encode([parts, [big.slice()], 7]);
    expect(layout.offsets.length).toBe(parts.length + 1);
    expect([...layout.large]).toEqual([
      [1, ['at.0.1.1.3']],
      [parts.length, ['at.1.0']],
    ]);
    for (const [index, part] of parts.entries()) {
      if (index === 1) continue;
      // A part's bytes alone are a tree.
      const alone = bytes.subarray(layout.offsets[index], layout.offsets[index + 1]);
      expect(decodeState(alone, new Map()).value).toEqual(part);
    }
    const { value, layout: same } = decodeState(bytes, large, new Set([1, 2, 9]));
    expect(value).toEqual([[1, undefined, undefined, null, Uint8Array.of(5)], [big], 7]);
    expect(same).toEqual(layout);
    // What is not wanted is checked all the same.
    expect(() => decodeState(bytes, new Map([...large].slice(1)), new Set([1]))).toThrow(StateFormatError);
  });

  it('encodes what has state of its own by that state, and views that build a view at each access', () => {
    const device = { get_state: () => [1, 2] };
    const view = new Proxy({}, { get: (_, name) => new Int32Array([7])[name as 'length'] }) as never;
    const bound = new Proxy(
      {},
      {
        get: (_, name) => {
          const made = new Int32Array([7, -8]);
          const found = made[name as 'subarray'];
          return typeof found === 'function' ? found.bind(made) : found;
        },
      },
    );
    expect(decodeState(encode([device, bound]).tree, new Map()).value).toEqual([
      [1, 2],
      Int32Array.of(7, -8),
    ]);
    expect(() => encode([view])).toThrow();
    expect(() => encode([() => 1])).toThrow('function');
    expect(() => encode([new Uint8ClampedArray(2)])).toThrow('Uint8ClampedArray');
  });

  it('gives large buffers back as copies', () => {
    const encoded = encode([new Uint8Array(LARGE_BYTES)]);
    const [decoded] = decodeState(encoded.tree, encoded.large).value as [Uint8Array];
    decoded[0] = 1;
    expect(encoded.large.get('at.0')?.[0]).toBe(0);
  });
});

// Bytes that are ours: copies where a view could change under us, and hexadecimal both ways.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, copyBytes, equalBytes, fromHex, ownBytes, toHex } from '../../src/base/bytes.ts';
import { seedOfRun } from '../support/seed.ts';

const RUN = { seed: seedOfRun() };
const anyBytes = fc.uint8Array({ maxLength: 300 });

describe('ownership', () => {
  it('leaves our own bytes alone and copies views on shared memory', () => {
    const ours = Uint8Array.of(1, 2, 3);
    expect(ownBytes(ours)).toBe(ours);
    const shared = new Uint8Array(new SharedArrayBuffer(8), 2, 3);
    shared.set([4, 5, 6]);
    const owned = ownBytes(shared);
    shared.fill(0);
    expect(owned).toEqual(Uint8Array.of(4, 5, 6));
    expect(owned.buffer).toBeInstanceOf(ArrayBuffer);
  });

  it('copies into an array of exactly that length', () => {
    const whole = Uint8Array.of(1, 2, 3, 4, 5);
    const copy = copyBytes(whole.subarray(1, 4));
    whole.fill(0);
    expect(copy).toEqual(Uint8Array.of(2, 3, 4));
    expect(copy.buffer.byteLength).toBe(3);
  });
});

describe('equalBytes', () => {
  it('sees one changed byte, and a length', () => {
    fc.assert(
      fc.property(anyBytes, fc.nat(), fc.integer({ min: 1, max: 255 }), (bytes, at, change) => {
        const other = bytes.slice();
        expect(equalBytes(bytes, other)).toBe(true);
        expect(equalBytes(bytes, concatBytes([bytes, Uint8Array.of(0)]))).toBe(false);
        if (bytes.length === 0) return;
        other[at % bytes.length]! ^= change;
        expect(equalBytes(bytes, other)).toBe(false);
      }),
      RUN,
    );
  });
});

describe('concatBytes', () => {
  it('is what spreading gives', () => {
    fc.assert(
      fc.property(fc.array(anyBytes, { maxLength: 6 }), (parts) => {
        expect([...concatBytes(parts)]).toEqual(parts.flatMap((part) => [...part]));
      }),
      RUN,
    );
  });
});

describe('hexadecimal', () => {
  it('goes there and back, as the platform writes it', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        expect(toHex(bytes)).toBe(Buffer.from(bytes).toString('hex'));
        expect(fromHex(toHex(bytes))).toEqual(copyBytes(bytes));
      }),
      RUN,
    );
  });

  it('takes lower-case pairs and nothing else', () => {
    for (const text of ['0', 'abc', 'AB', 'zz', ' 00', '0x', '00\n']) expect(fromHex(text)).toBeUndefined();
    expect(fromHex('')).toEqual(new Uint8Array());
  });
});

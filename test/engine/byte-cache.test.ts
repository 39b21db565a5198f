// The cache against a naive model: a list in order of use. It holds the same keys, and never more than its bound.

import { describe, expect, it } from 'vitest';
import { ByteCache } from '../../src/engine/byte-cache.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f'];

describe('ByteCache', () => {
  it('keeps what was used last, up to its bytes', () => {
    const seed = seedOfRun();
    const random = new Random(seed);
    const maxBytes = 100;
    const cache = new ByteCache(maxBytes);
    let model: { readonly key: string; readonly bytes: Uint8Array<ArrayBuffer> }[] = [];
    for (let round = 0; round < 4000; round++) {
      const key = random.pick(KEYS);
      const known = model.find((entry) => entry.key === key);
      model = model.filter((entry) => entry !== known);
      if (random.chance(0.5)) {
        expect(cache.get(key), `SEED=${seed}, round ${round}`).toBe(known?.bytes);
        if (known !== undefined) model.push(known);
      } else if (random.chance(0.02)) {
        cache.clear();
        model = [];
      } else {
        const bytes = new Uint8Array(random.below(60));
        cache.set(key, bytes);
        model.push({ key, bytes });
        while (model.reduce((sum, entry) => sum + entry.bytes.length, 0) > maxBytes) model.shift();
      }
    }
    expect(KEYS.filter((key) => cache.get(key) !== undefined)).toEqual(model.map(({ key }) => key).sort());
  });

  it('passes over what is larger than all of it', () => {
    const cache = new ByteCache(10);
    cache.set('small', new Uint8Array(10));
    cache.set('large', new Uint8Array(11));
    expect([cache.get('small'), cache.get('large')]).toEqual([undefined, undefined]);
    cache.set('small', new Uint8Array(10));
    expect(cache.get('small')?.length).toBe(10);
  });
});

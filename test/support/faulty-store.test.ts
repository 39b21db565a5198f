// The plan of a faulty store does what its letters say; the tests of the engine stand on it.

import { describe, expect, it } from 'vitest';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { storeContract } from '../../src/testing/store-contract.ts';
import { failAt, faulty } from './faulty-store.ts';

const one = Uint8Array.of(1);

/** The outcome of five puts under a plan: what each told, and what the store then holds. */
async function putsUnder(plan: string): Promise<string> {
  const inner = openMemoryStore();
  const store = faulty(inner, plan);
  let told = '';
  for (const key of ['a', 'b', 'c', 'd', 'e']) {
    told += await store.put(key, one).then(
      () => '+',
      (error) => (error.code === 'store-io' ? '-' : '?'),
    );
  }
  return `${told} ${(await inner.list('')).join('')}`;
}

describe('faulty store', () => {
  it('fails by plan', async () => {
    expect(await putsUnder('')).toBe('+++++ abcde');
    expect(await putsUnder('ooEo')).toBe('++-++ abde');
    expect(await putsUnder('oeo')).toBe('+-+++ abcde');
    expect(await putsUnder('oK')).toBe('+---- a');
    expect(await putsUnder('ok')).toBe('+---- ab');
    expect(await putsUnder(failAt(4))).toBe('++++- abcd');
  });

  it('counts calls, and only the verbs it is told', async () => {
    const store = faulty(openMemoryStore(), 'oE', { only: ['put'], code: 'store-full' });
    await store.put('a', one);
    await store.list('');
    await expect(store.put('b', one)).rejects.toMatchObject({ code: 'store-full' });
    expect([store.callCount, store.failed, store.log]).toEqual([2, true, ['o put a', 'E put b']]);
  });
});

storeContract(
  'faulty with an empty plan',
  async () => {
    const contents = new Map();
    const open = () => faulty(openMemoryStore({ contents }), '');
    return { store: open(), reopen: async () => open(), destroy: async () => contents.clear() };
  },
  { describe, it, expect },
);

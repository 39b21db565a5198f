// Snapshots by the names that people give them.

import { describe, expect, it } from 'vitest';
import { VitrineError } from '../../../src/base/error.ts';
import { findSnapshot } from '../../../src/host/cli/snapshot-name.ts';

const FIRST = `fa${'1'.repeat(62)}`;
const SECOND = `fa${'2'.repeat(62)}`;
const THIRD = `b0${'3'.repeat(62)}`;
const SNAPSHOTS = [
  { id: FIRST, machine: 'web', label: 'booted' },
  { id: SECOND, machine: 'db', label: 'booted' },
  { id: THIRD, machine: 'db', label: 'facade' },
  { id: '4'.repeat(64), machine: 'db', label: '' },
];

let lists = 0;
const book = {
  async show(digits: string) {
    const found = SNAPSHOTS.filter(({ id }) => id.startsWith(digits));
    if (found.length === 0) throw new VitrineError('not-found', { snapshot: digits });
    if (found.length > 1) throw new VitrineError('name-ambiguous', { snapshot: digits });
    return found[0]!;
  },
  async log() {
    lists++;
    return SNAPSHOTS;
  },
};

describe('a snapshot', () => {
  it('is found by its id and by the first digits of it, without a list of all', async () => {
    lists = 0;
    expect(await findSnapshot(book, FIRST)).toBe(FIRST);
    expect(await findSnapshot(book, 'fa2')).toBe(SECOND);
    expect(await findSnapshot(book, 'b')).toBe(THIRD);
    expect(lists).toBe(0);
  });

  it('is found by its label, also where that could be digits', async () => {
    expect(await findSnapshot(book, 'facade')).toBe(THIRD);
  });

  it('of the machine that is meant goes before others of its label', async () => {
    expect(await findSnapshot(book, 'booted', 'web')).toBe(FIRST);
    expect(await findSnapshot(book, 'booted', 'db')).toBe(SECOND);
    expect(await findSnapshot(book, 'facade', 'web')).toBe(THIRD);
  });

  it('is not guessed where several are called so', async () => {
    await expect(findSnapshot(book, 'booted')).rejects.toMatchObject({
      code: 'name-ambiguous',
      data: { label: 'booted', candidates: [FIRST.slice(0, 12), SECOND.slice(0, 12)] },
    });
    await expect(findSnapshot(book, 'fa')).rejects.toMatchObject({
      code: 'name-ambiguous',
      data: { snapshot: 'fa' },
    });
  });

  it('that there is not is not found', async () => {
    for (const name of ['nobody', 'c0ffee', '']) {
      await expect(findSnapshot(book, name)).rejects.toMatchObject({
        code: 'not-found',
        data: { snapshot: name },
      });
    }
  });

  it('is not looked for elsewhere when reading it failed', async () => {
    const broken = { ...book, show: async () => Promise.reject(new VitrineError('object-damaged')) };
    await expect(findSnapshot(broken, 'facade')).rejects.toMatchObject({ code: 'object-damaged' });
  });
});
